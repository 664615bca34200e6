"""The runs of a study: an arm is composed once, then values and seeds are varied."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from losslab.experiment import Composer, choices_of, command_for, plan_run, prepare, quoted
from losslab.experiment.compose import without_hydra
from losslab.experiment.identity import folder_of
from losslab.launchers import Failed, Launcher, dispatch, make_launcher, outcome
from losslab.recording import Run


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

    @property
    def root(self) -> Path:
        """The study's folder."""
        return folder_of(self._common)

    @cached_property
    def launcher(self) -> Launcher:
        """It does the study's runs; the caller opens and closes it."""
        return make_launcher(self._common)

    def check_overrides(self, varied: Collection[str]) -> None:
        """Raise ``ValueError`` for an override of what the study itself sets, run by run."""
        for override in self.composer.parse(self.overrides):
            if override.key_or_group in varied:
                raise ValueError(
                    f"{override.input_line}: the study {self.name} sets {override.key_or_group} "
                    "itself; change the keys of study. instead, or sweep with `losslab train -m`"
                )


class Points:
    """The runs of one arm: it is composed once, and values and seeds are set in copies.

    Args:
        session: The study's.
        overrides: Of the arm.
    """

    def __init__(self, session: Session, overrides: Sequence[str]) -> None:
        self._common = [f"name={session.name}", *map(quoted, overrides), *session.overrides]
        self._full = session.composer.compose(self._common)
        self._launcher, self._flags = session.launcher, session.composer.flags

    def run(self, values: dict[str, Any], seed: int) -> Run:
        """Return the run with these values and seed."""
        config = without_hydra(self._full)
        with open_dict(config):
            for key, value in values.items():
                if OmegaConf.is_dict(OmegaConf.select(config, key)):
                    raise ValueError(f"{key} cannot be varied; give a key with a single value")
                OmegaConf.update(config, key, value)
            config.seed = seed
        own = [*(quoted(f"{key}={value}") for key, value in values.items()), f"seed={seed}"]
        return plan_run(
            self._launcher.on_its_device(config),
            choices_of(self._full.hydra),
            command_for([*self._common, *own], flags=self._flags),
        )

    def grid(self, axes: dict[str, list[Any]], seeds: Sequence[int]) -> list[Run]:
        """Return all combinations of the axes' values and the seeds.

        Raises:
            ValueError: An axis is not a list, a value is out of range, or a key is unknown.
        """
        for key, values in {**axes, "seeds": seeds}.items():
            if not isinstance(values, list) or not values:
                raise ValueError(f"{key}={values}; give a list of at least one")
        return [
            self.run(dict(zip(axes, values, strict=True)), seed)
            for values in product(*axes.values())
            for seed in seeds
        ]


def do_runs(
    session: Session,
    runs: Sequence[Run],
    title: str,
    *,
    checked: Callable[[], None] = lambda: None,
) -> list[Failed]:
    """Do the runs that are not finished; return those that failed.

    Args:
        session: The study's.
        runs: Planned.
        title: What is being done, for the progress bar.
        checked: Called when all runs have been checked, before the first one starts.
    """
    distinct = list(dict.fromkeys(runs))
    missing = [run for run in distinct if run.pending]
    # All are checked before the first one is trained.
    elsewhere, built = session.launcher.device is not None, set[str]()
    for run in missing:
        prepare(run, elsewhere=elsewhere, built=built)
    checked()
    title = f"{session.name}: {title}"
    dispatch(session.launcher, missing, console=session.console, title=title)
    return outcome(distinct)
