"""The runs of a study: an arm is composed once, then values and seeds are varied."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from losslab.experiment import (
    Composer,
    Job,
    RunIdentity,
    choices_of,
    command_for,
    identify,
    prepare,
    quoted,
)
from losslab.experiment.compose import without_hydra
from losslab.experiment.identity import folder_of
from losslab.launchers import (
    Failed,
    Launcher,
    do_round,
    is_pending,
    make_launcher,
    on_device_of,
    outcome,
)


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


@dataclass(frozen=True)
class Point:
    """One run of a study."""

    values: dict[str, Any]  # key to value, of what is varied
    seed: int  # of the run
    command: str  # that reproduces it, as typed into a shell
    config: DictConfig  # composed
    choices: dict[str, str]  # group to choice
    identity: RunIdentity  # where its results are

    @property
    def root(self) -> Path:
        """The study's folder."""
        return self.identity.root

    @property
    def run(self) -> str:
        """The run's name below the study's folder, ``<group>/seed=<n>``."""
        return self.identity.run


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

    def point(self, values: dict[str, Any], seed: int) -> Point:
        """Return the run with these values and seed."""
        config = without_hydra(self._full)
        with open_dict(config):
            for key, value in values.items():
                if OmegaConf.is_dict(OmegaConf.select(config, key)):
                    raise ValueError(f"{key} cannot be varied; give a key with a single value")
                OmegaConf.update(config, key, value)
            config.seed = seed
        config = on_device_of(self._launcher, config)
        choices = choices_of(self._full.hydra)
        own = [*(quoted(f"{key}={value}") for key, value in values.items()), f"seed={seed}"]
        return Point(
            values=values,
            seed=seed,
            command=command_for([*self._common, *own], flags=self._flags),
            config=config,
            choices=choices,
            identity=identify(config, choices),
        )

    def grid(self, axes: dict[str, list[Any]], seeds: Sequence[int]) -> list[Point]:
        """Return all combinations of the axes' values and the seeds.

        Raises:
            ValueError: An axis is not a list, a value is out of range, or a key is unknown.
        """
        for key, values in {**axes, "seeds": seeds}.items():
            if not isinstance(values, list) or not values:
                raise ValueError(f"{key}={values}; give a list of at least one")
        return [
            self.point(dict(zip(axes, values, strict=True)), seed)
            for values in product(*axes.values())
            for seed in seeds
        ]


def run_points(
    session: Session,
    points: Sequence[Point],
    title: str,
    *,
    checked: Callable[[], None] = lambda: None,
) -> list[Failed]:
    """Do the runs that are not finished; return those that failed.

    Args:
        session: The study's.
        points: The runs.
        title: What is being done, for the progress bar.
        checked: Called when all runs have been checked, before the first one starts.
    """
    distinct = list({point.identity: point for point in points}.values())
    missing = [point for point in distinct if is_pending(point.identity, point.config)]
    # All are checked before the first one is trained.
    elsewhere, built = session.launcher.device is not None, set[str]()
    for point in missing:
        prepare(point.config, point.choices, elsewhere=elsewhere, built=built)
    checked()
    do_round(
        session.launcher,
        [Job(config=p.config, choices=p.choices, command=p.command) for p in missing],
        console=session.console,
        title=f"{session.name}: {title}",
    )
    return outcome(point.identity for point in distinct)
