"""Runs that a study plans: composed once, then varied in values and seed."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from losslab.experiment import Composer, RunIdentity, choices_of, identify, prepare, quoted
from losslab.experiment.compose import without_hydra
from losslab.experiment.identity import folder_of
from losslab.recording import FINISHED
from losslab.study.launch import Failed, launch, outcome


@dataclass(frozen=True)
class Session:
    """What a study needs from its command.

    Attributes:
        composer: Open.
        name: Of the study; its runs are in the folder of that name.
        overrides: For every run, after those of the study itself.
        console: For progress and the report.
        command: As typed, for the report.
    """

    composer: Composer
    name: str
    overrides: Sequence[str]
    console: Console
    command: str

    @cached_property
    def root(self) -> Path:
        """The study's folder."""
        config = self.composer.compose([f"name={self.name}", *self.overrides])
        return folder_of(config)

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
    """One run of a study.

    Attributes:
        values: Key to value, of what is varied.
        seed: Of the run.
        overrides: All that Hydra needs to compose it.
        config: Composed.
        choices: Group to choice.
        identity: Where its results are.
    """

    values: dict[str, Any]
    seed: int
    overrides: list[str]
    config: DictConfig
    choices: dict[str, str]
    identity: RunIdentity

    @property
    def root(self) -> Path:
        """The study's folder."""
        return self.identity.directory.path.parents[1]

    @property
    def run(self) -> str:
        """The run's folder below the study's, ``<group>/seed=<n>``."""
        return self.identity.directory.path.relative_to(self.root).as_posix()


class Points:
    """Gives the points of one arm; it is composed once, values and seeds are set in copies.

    Args:
        session: The study's.
        overrides: Of the arm.
    """

    def __init__(self, session: Session, overrides: Sequence[str]) -> None:
        self._common = [f"name={session.name}", *map(quoted, overrides), *session.overrides]
        self._full = session.composer.compose(self._common)

    def point(self, values: dict[str, Any], seed: int) -> Point:
        """Return the run with these values and seed."""
        config = without_hydra(self._full)
        with open_dict(config):
            for key, value in values.items():
                if OmegaConf.is_dict(OmegaConf.select(config, key)):
                    raise ValueError(f"{key} cannot be varied; give a key with a single value")
                OmegaConf.update(config, key, value)
            config.seed = seed
        choices = choices_of(self._full.hydra)
        own = [*(quoted(f"{key}={value}") for key, value in values.items()), f"seed={seed}"]
        return Point(
            values=values,
            seed=seed,
            overrides=[*self._common, *own],
            config=config,
            choices=choices,
            identity=identify(config, choices),
        )

    def grid(self, axes: dict[str, list[Any]], seeds: Sequence[int]) -> list[Point]:
        """Return all combinations of the axes' values and the seeds.

        Raises:
            ValueError: An axis is no list, a value is out of range, or a key is unknown.
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
    """Run those that are not finished, on all cores; return those that did not end.

    Args:
        session: The study's.
        points: The runs.
        title: What is being done, for the progress bar.
        checked: Called once all are found to be in order, before the first one runs.
    """
    distinct = list({point.identity.directory.path: point for point in points}.values())
    missing = [
        point
        for point in distinct
        if point.identity.directory.status not in FINISHED or point.config.force
    ]
    # All are checked before the first one is trained.
    for point in missing:
        prepare(point.config, point.choices)
    checked()
    launch(
        session.composer,
        [(point.overrides, point.identity.directory) for point in missing],
        overrides=[f"name={session.name}", *session.overrides],
        console=session.console,
        title=f"{session.name}: {title}",
    )
    return outcome([point.identity.directory for point in distinct])
