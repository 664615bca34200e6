"""Sweeps, the base class of sweepers, and the grid."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from math import prod
from typing import final

from hydra.core.override_parser.types import Override
from rich.console import Console

from losslab.experiment import Composer, choices_of, command_for, plan_run, prepare
from losslab.experiment.compose import SWEEP_GROUPS, without_hydra
from losslab.launchers import Launcher, dispatch
from losslab.launchers.forecast import Forecast
from losslab.launchers.progress import announce_if_slow
from losslab.recording import Run

Words = list[str]
"""The overrides of one run, as they are typed."""

MOST_RUNS = 100_000
"""The limit for a grid; planning so many takes a quarter of an hour."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A command ``losslab train -m``."""

    composer: Composer  # open
    overrides: Sequence[Override]  # as typed, parsed
    sweeper: "Sweeper"  # decides which runs there are
    launcher: Launcher  # does them
    console: Console  # for progress and results
    # see :func:`~losslab.experiment.prepare`
    built: dict[str, frozenset[str]] = field(default_factory=dict)

    def plan(self, points: Iterable[Words]) -> list[Run]:
        """Compose and check distinct runs, without writing anything."""
        runs: dict[object, Run] = {}
        swept = {o.key_or_group for o in self.overrides if o.is_sweep_override()}
        for words in announce_if_slow(points, console=self.console):
            full = self.composer.vary(words)
            config = self.launcher.on_its_device(without_hydra(full))
            if (steps := config.trainer.steps) is not None and "trainer.epochs" in swept:
                raise ValueError(
                    f"trainer.steps={steps} sets the length of every run, so that trainer.epochs "
                    "has no effect; sweep over one of the two"
                )
            command = command_for(words, flags=self.composer.flags)
            run = plan_run(config, choices_of(full.hydra), command)
            # Different overrides, such as diagnostics=[a,b] and [b,a], can give the same run.
            identity = (run.root, run.digest, run.seed)
            if identity not in runs:
                prepare(run, elsewhere=self.launcher.device is not None, built=self.built)
                runs[identity] = run
        return list(runs.values())

    def run(self) -> list[Run]:
        """Do the whole sweep, see :meth:`Sweeper.run`."""
        with self.launcher:
            return self.sweeper.run(self)

    def do(self, runs: Sequence[Run], title: str) -> int:
        """Do the runs that are not finished; return how many there were."""
        pending = [run for run in runs if run.pending]
        dispatch(self.launcher, pending, console=self.console, title=title)
        return len(pending)


class Sweeper(ABC):
    """Decides which runs a sweep has."""

    @abstractmethod
    def forecast(self, sweep: Sweep) -> Forecast:
        """Return the runs of a sweep, checked without writing anything."""

    @abstractmethod
    def run(self, sweep: Sweep) -> list[Run]:
        """Do the sweep; return all its runs, finished or not."""


@final
class Grid(Sweeper):
    """All combinations of the listed values, like Hydra's basic sweeper."""

    def forecast(self, sweep: Sweep) -> Forecast:
        """Return all combinations."""
        return Forecast(sweep.plan(combinations(sweep.overrides)))

    def run(self, sweep: Sweep) -> list[Run]:
        """Check all runs, then do those that are not finished."""
        runs = sweep.plan(combinations(sweep.overrides))
        if not sweep.do(runs, "sweep"):
            sweep.console.print(
                f"all {len(runs)} runs are already finished; force=true trains them again",
                soft_wrap=True,
            )
        return runs


def reject_sweeper_overrides(overrides: Iterable[Override]) -> None:
    """Raise ``ValueError`` for overrides that only ``losslab train -m`` uses."""
    for override in overrides:
        if override.key_or_group.partition(".")[0] == "sweeper":
            raise ValueError(
                f"{override.input_line} has no effect here; leave it out, or sweep with "
                "`losslab train -m`"
            )


def axes(overrides: Iterable[Override]) -> list[Words]:
    """Return the values of each override, like Hydra's basic sweeper."""
    lists = []
    for override in overrides:
        if not override.is_sweep_override():
            lists.append([override.input_line or ""])
            continue
        key, values = override.get_key_element(), []
        if override.key_or_group.partition(".")[0] in SWEEP_GROUPS:
            raise ValueError(f"{override.input_line}: it cannot be swept; give a single value")
        if override.is_discrete_sweep():
            some = islice(override.sweep_string_iterator(), MOST_RUNS + 1)
            values = [f"{key}={value}" for value in some]
        if not values:
            raise ValueError(
                f"{override.input_line}: a grid needs a list of values; give a,b,c, "
                "choice(...) or range(...)"
            )
        lists.append(values)
    return lists


def combinations(overrides: Iterable[Override]) -> list[Words]:
    """Return the overrides of every run of a grid; ``ValueError`` for too many."""
    lists = axes(overrides)
    count = prod(map(len, lists))
    if count > MOST_RUNS:
        raise ValueError(
            f"the grid has at least {count} runs; allowed are {MOST_RUNS} at most: list fewer "
            "values, or sweep in parts"
        )
    return [list(point) for point in product(*lists)]
