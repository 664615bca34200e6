"""What one command does with a study: it opens it, and plans, checks and does its runs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from losslab.experiment import Composer, choices_of, command_for, plan_run, prepare, quoted
from losslab.experiment.compose import without_hydra
from losslab.experiment.identity import folder_of
from losslab.experiment.make import make
from losslab.launchers import Failed, Launcher, dispatch, make_launcher, outcome
from losslab.launchers.progress import counted
from losslab.recording import Run
from losslab.sweepers import only_with_m

if TYPE_CHECKING:
    from losslab.study.study import Study

SIZES = ("committed", "full")
"""Sizes of a study: what two cores do in minutes and the repository holds; more for a GPU."""

IN_REPOSITORY = ("identities", "weight_prior")
"""Studies with their own code, which is in ``experiments`` and not in a wheel."""


@dataclass(frozen=True)
class Session:
    """What a study needs from its command."""

    composer: Composer  # open
    name: str  # of the study; its runs are in the folder of that name
    overrides: Sequence[str]  # for every run, after those of the study itself
    console: Console  # for progress and the report
    command: str  # as typed, for the report

    @cached_property
    def _common(self) -> DictConfig:
        return self.composer.compose([f"name={self.name}", *self.overrides])

    @cached_property
    def root(self) -> Path:
        """The study's folder."""
        return folder_of(self._common)

    @cached_property
    def launcher(self) -> Launcher:
        """It does the study's runs; :meth:`Study.run` opens and closes it."""
        return make_launcher(self._common)

    def check_overrides(self, varied: Collection[str]) -> None:
        """Raise ``ValueError`` for an override of what the study itself sets, run by run."""
        for override in self.composer.parse(self.overrides):
            if override.key_or_group in varied:
                raise ValueError(
                    f"{override.input_line}: the study {self.name} sets {override.key_or_group} "
                    "itself; change the keys of study. instead, or sweep with `losslab train -m`"
                )

    def do(
        self, runs: Sequence[Run], title: str, *, checked: Callable[[], None] = lambda: None
    ) -> list[Failed]:
        """Do the runs that are not finished; return those that failed.

        Args:
            runs: Planned.
            title: What is being done, for the progress bar.
            checked: Called when all runs have been checked, before the first one starts.
        """
        distinct = list(dict.fromkeys(runs))
        missing = [run for run in distinct if run.pending]
        built: set[str] = set()
        for run in counted(missing, console=self.console):
            prepare(run, elsewhere=self.launcher.device is not None, built=built)
        checked()
        dispatch(self.launcher, missing, console=self.console, title=f"{self.name}: {title}")
        return outcome(distinct)


class Template:
    """A configuration that is composed once; values and seeds are set in copies of it."""

    def __init__(self, session: Session, overrides: Sequence[str]) -> None:
        self._overrides = [f"name={session.name}", *map(quoted, overrides), *session.overrides]
        self._full = session.composer.compose(self._overrides)
        self.session = session

    def run(self, values: Mapping[str, Any], seed: int) -> Run:
        """Return the planned run with these values, by dotted key, and this seed."""
        config = without_hydra(self._full)
        with open_dict(config):
            for key, value in values.items():
                if OmegaConf.is_dict(OmegaConf.select(config, key)):
                    raise ValueError(f"{key} cannot be varied; give a key with a single value")
                OmegaConf.update(config, key, value)
            config.seed = seed
        own = [*(quoted(f"{key}={value}") for key, value in values.items()), f"seed={seed}"]
        return plan_run(
            self.session.launcher.on_its_device(config),
            choices_of(self._full.hydra),
            command_for([*self._overrides, *own], flags=self.session.composer.flags),
        )


def only_in_repository(composer: Composer) -> list[str]:
    """Return the names of the studies that a wheel lacks; none in a checkout."""
    return [name for name in IN_REPOSITORY if name not in composer.choices("study")]


def open_study(
    composer: Composer, name: str, overrides: Sequence[str], *, console: Console, command: str
) -> tuple["Study", Session]:
    """Return a study, checked, and what its runs need; nothing is run.

    Args:
        composer: Open.
        name: Of the study.
        overrides: For every run, and for the study itself where they begin with ``study.``.
        console: For progress and the report.
        command: As typed, for the report.

    Raises:
        ValueError: No such study or key, or its parts do not fit.
    """
    if name in only_in_repository(composer):
        raise ValueError(
            f"the study {name} has its own code and is in losslab's repository, not in this "
            f"installation; run it in a checkout, or add --config-dir with its experiments/{name}"
        )
    overrides = [quoted(text) for text in overrides]
    parsed = composer.parse(overrides)
    only_with_m(parsed)
    about_study = [o.input_line or "" for o in parsed if o.key_or_group.startswith("study.")]
    for_runs = [text for text in overrides if text not in about_study]
    node = composer.compose([f"+study={name}", *about_study]).study
    folder = name if node.get("size", SIZES[0]) == SIZES[0] else f"{name}_{node.size}"
    study: Study = make(sized(node, name), "study", recursive=False)
    return study, Session(composer, folder, for_runs, console, command)


def sized(node: DictConfig, name: str) -> DictConfig:
    """Return a study's node at its size: ``full`` adds to ``base`` and replaces all else."""
    values: Any = OmegaConf.to_container(node)
    size, full = values.pop("size", SIZES[0]), values.pop("full", None)
    allowed = SIZES if full is not None else SIZES[:1]
    if size not in allowed:
        raise ValueError(f"study.size={size}; {name} comes in the sizes {' and '.join(allowed)}")
    if size == "full":
        values |= full | {"base": [*values.get("base", []), *full.get("base", [])]}
    return DictConfig(values)
