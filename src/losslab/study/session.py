"""A session: one command opens a study, then plans, checks and carries out its runs."""

import pickle
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console
from rich.text import Text

from losslab.experiment import Composer, choices_of, command_for, plan_run, prepare, quoted
from losslab.experiment.compose import without_hydra
from losslab.experiment.identity import folder_of
from losslab.experiment.make import make
from losslab.experiment.run import unrecorded
from losslab.files import read_json
from losslab.launchers import Failed, Launcher, dispatch, make_launcher, outcome
from losslab.launchers.progress import announce_if_slow
from losslab.recording import Run, manifest, write_json
from losslab.report.plan import PLAN_FILE, Plan
from losslab.report.selectors import split
from losslab.study.outline import at_size, folder_name, only_in_repository, sized
from losslab.study.shared_runs import SharedRuns
from losslab.sweepers import reject_sweeper_overrides
from losslab.text import nearest

if TYPE_CHECKING:
    from losslab.study.study import Study


@dataclass(frozen=True)
class Session:
    """What a study needs from its command."""

    composer: Composer  # open
    name: str  # of the study and its folder
    overrides: Sequence[str]  # for every run, after those of the study
    console: Console  # for progress and the report
    command: str  # as typed, for the report
    left_out: frozenset[str] = frozenset()  # sets, arms and conditions that the command deletes
    # see :func:`~losslab.experiment.prepare`
    _built: dict[str, frozenset[str]] = field(default_factory=dict)

    @cached_property
    def _common(self) -> DictConfig:
        return self.composer.compose([f"name={self.name}", *self.overrides])

    @cached_property
    def root(self) -> Path:
        """The study's folder."""
        return folder_of(self._common)

    @cached_property
    def _shared(self) -> SharedRuns:
        code = manifest(command="", device="", threads=1, choices={})
        return SharedRuns(Path(self._common.output_dir).expanduser(), code)

    @cached_property
    def launcher(self) -> Launcher:
        """The launcher of the study's runs; :meth:`Study.run` opens and closes it."""
        return make_launcher(self._common)

    def check_overrides(self, varied: Collection[str]) -> None:
        """Raise ``ValueError`` for an override of a key that the study sets itself."""
        for override in self.composer.parse(self.overrides):
            if override.key_or_group in varied:
                sets = f"the study {self.name} sets {override.key_or_group} itself"
                advice = "change the keys of study. instead, or sweep with `losslab train -m`"
                raise ValueError(f"{override.input_line}: {sets}; {advice}")

    def leaves_out(self, name: str) -> bool:
        """Return whether the command deletes a set, such as ``<arm>@<condition>:grid``."""
        return not self.left_out.isdisjoint(re.split("[@:]", name))

    def count_shared(self, runs: Iterable[Run]) -> int:
        """Return how many of the missing runs another study has finished."""
        return sum(run.pending and self._shared.find(run) is not None for run in runs)

    def do(self, runs: Sequence[Run], title: str, plan: Plan) -> list[Failed]:
        """Check all missing runs, write the plan, do them; return those that failed."""
        distinct = list(dict.fromkeys(runs))
        missing = [run for run in distinct if run.pending]
        with self.console.status(f"{self.name}: {title}: checking {len(missing)} runs"):
            self._prepare(announce_if_slow(missing, console=self.console))
            self.root.mkdir(parents=True, exist_ok=True)
            self._name_replaced(plan)
            write_json(self.root / PLAN_FILE, plan.to_json())
            left = [run for run in missing if not self._shared.take(run)]
        if len(left) < len(missing):
            taken = f"{title}: {len(missing) - len(left)} runs are shared with another study"
            self.console.print(Text(f"{self.name}: {taken}"))
        dispatch(self.launcher, left, console=self.console, title=f"{self.name}: {title}")
        return outcome(distinct)

    def _name_replaced(self, plan: Plan) -> None:
        """Say which command's report will be replaced, if that command had other options."""
        try:
            earlier = str(read_json(self.root / PLAN_FILE).get("command", plan.command))
            words = _without_launcher(earlier)
        except ValueError:  # there is none, or it is damaged
            return
        if words != _without_launcher(plan.command):
            text = f"replaces the report of `{earlier}`, whose runs stay; output_dir=DIR keeps both"
            self.console.print(Text(f"{self.name}: {text}"), soft_wrap=True)

    def _prepare(self, runs: Iterable[Run]) -> None:
        for run in runs:
            prepare(run, elsewhere=self.launcher.device is not None, built=self._built)

    def check_metrics(self, metrics: Sequence[tuple[str, str]], runs: Sequence[Run]) -> None:
        """Reject metrics that none of these runs can record; each comes with its origin."""
        self._prepare(run for run in runs if run.pending)
        for where, metric in metrics:
            tag, _ = split(metric)
            if (known := unrecorded(tag, runs, self._built)) is not None:
                missing = f"no run of the study records {tag!r}{nearest(tag, known)}"
                advice = "or add the diagnostic that measures it to study.base"
                raise ValueError(f"{where}: {missing}; give another metric, {advice}")


def _without_launcher(command: str) -> list[str]:
    """Return the words of a study's command that change its results."""
    return sorted(word for word in shlex.split(command) if not word.startswith("launcher"))


class Template:
    """A configuration that is composed once and copied for each value and seed."""

    def __init__(self, session: Session, overrides: Sequence[str]) -> None:
        self._overrides = [f"name={session.name}", *map(quoted, overrides), *session.overrides]
        full = session.composer.vary(self._overrides)
        config, self.choices = without_hydra(full), choices_of(full.hydra)
        self._text = str(OmegaConf.to_container(config, resolve=False))
        # Loading a pickled configuration takes a quarter of the time of a copy.
        self._pickled = pickle.dumps(config)
        self._planned: dict[str, tuple[Run, bytes]] = {}
        self.session = session

    def run(self, values: Mapping[str, Any], seed: int) -> Run:
        """Return the planned run with these values, by dotted key, and this seed."""
        varied = [*(quoted(f"{key}={value}") for key, value in values.items()), f"seed={seed}"]
        command = command_for([*self._overrides, *varied], flags=self.session.composer.flags)
        if repr(values) in self._planned and "seed}" not in f"{self._text} {values}":
            # Nothing else in a run's identity depends on its seed.
            run, pickled = self._planned[repr(values)]
            config = pickle.loads(pickled)
            config.seed = seed
            return replace(run, seed=seed, composed=config, command=command)
        config = pickle.loads(self._pickled)
        with open_dict(config):
            for key, value in values.items():
                if OmegaConf.is_dict(OmegaConf.select(config, key)):
                    raise ValueError(f"{key} cannot be varied; give a key with a single value")
                OmegaConf.update(config, key, value)
            config.seed = seed
        run = plan_run(self.session.launcher.on_its_device(config), self.choices, command)
        self._planned[repr(values)] = run, pickle.dumps(run.composed)
        return run


def open_study(
    composer: Composer, name: str, overrides: Sequence[str], *, console: Console, command: str
) -> tuple["Study", Session]:
    """Load and check a study; return it with the session for its runs.

    Overrides apply to every run, or to the study if they begin with ``study.``.
    """
    if name in only_in_repository(composer):
        raise ValueError(
            f"the study {name} has its own code and is in losslab's repository, not in this "
            f"installation; run it in a checkout, or add --config-dir with its experiments/{name}"
        )
    overrides = at_size(composer, name, [quoted(text) for text in overrides])
    overrides = _numbered(composer, name, overrides)
    parsed = composer.parse(overrides)
    reject_sweeper_overrides(parsed)
    about_study = [o.input_line or "" for o in parsed if o.key_or_group.startswith("study.")]
    for_runs = [text for text in overrides if text not in about_study]
    node = composer.compose([f"+study={name}", *about_study]).study
    folder = folder_name(node, name)
    study: Study = make(sized(node, name), "study", recursive=False)
    left_out = frozenset(o.key_or_group.rpartition(".")[2] for o in parsed if o.is_delete())
    return study, Session(composer, folder, for_runs, console, command, left_out)


def _numbered(composer: Composer, name: str, overrides: Sequence[str]) -> list[str]:
    """Replace the id in ``study.claims.<id>`` by the claim's index in the list."""
    pattern = re.compile(r"^([+~]*study\.(?:(quick|full)\.)?claims\.)([^.=]+)")
    found = next(filter(None, map(pattern.match, overrides)), None)
    if found is None:
        return list(overrides)
    study = composer.compose([f"+study={name}"]).study
    claims = (study.get(found[2], {}) if found[2] else study).get("claims", [])
    numbers = {str(claim.get("id")): str(number) for number, claim in enumerate(claims)}

    def numbered(match: re.Match[str]) -> str:
        if match[3] not in {*numbers, *numbers.values()}:
            missing = f"{match.string}: no claim {match[3]!r}{nearest(match[3], numbers)}"
            raise ValueError(f"{missing}; the claims of {name} are {', '.join(numbers)}")
        return match[1] + numbers.get(match[3], match[3])

    return [pattern.sub(numbered, text) for text in overrides]
