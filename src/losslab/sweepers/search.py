"""A search with Optuna; its trials are ordinary runs.

This uses Optuna itself, not Hydra's plugin, which is made for Optuna 2, numbers the trials of
every command from 0 and overwrites earlier ones.
"""

import hashlib
import json
import math
import os
import shlex
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from rich.table import Column, Table
from rich.text import Text

from losslab.experiment.identity import IN_NAMES
from losslab.experiment.run import unrecorded
from losslab.files import lock, one_line, read_bytes, read_json
from losslab.launchers.base import check_counts, require
from losslab.launchers.forecast import Forecast
from losslab.recording import Run, write_json
from losslab.seeding import derive
from losslab.sweepers.base import Sweep, Sweeper, Words, axes, combinations
from losslab.text import nearest

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.storages import JournalStorage
    from optuna.trial import FrozenTrial

JOURNAL = "optuna.journal"
RESULTS = "search.json"


@final
@dataclass(frozen=True, kw_only=True)
class Optuna(Sweeper):
    """Searches values, with the same number of trials for each configuration compared.

    Overrides given as ``interval``, ``range`` or ``choice`` are searched. Every combination of
    lists ``a,b,c`` (of losses, say) has its own search. A trial is one run per seed, and its value
    their mean. The parameters of a trial depend only on its number and the trials before its round,
    so a stopped search resumes as if it had never stopped.

    Raises:
        ValueError: Optuna is not installed, or a value is out of range.
    """

    trials: int = 20  # of each search
    at_once: int = 4  # trials per round; a search learns between rounds
    metric: str = "val/accuracy"  # a tag of ``summary.json``
    direction: Literal["maximize", "minimize"] = "maximize"
    startup_trials: int = 8  # drawn at random
    seed: int = 0  # of the search

    def __post_init__(self) -> None:
        require("optuna", extra="optuna", group="sweeper")
        check_counts(self, "trials", "at_once", "startup_trials", group="sweeper")
        if self.direction not in ("maximize", "minimize"):
            raise ValueError(f"sweeper.direction={self.direction}; give maximize or minimize")

    def run(self, sweep: Sweep) -> list[Run]:
        """Do the missing trials; show the best of each search."""
        space = space_of(sweep.overrides)
        first: dict[str, tuple[Run, str, Words]] = {}  # 1 and 1.0 are one search
        for name, fixed in space.compared.items():
            # Both ends of every range are checked before anything runs.
            low, _ = (sweep.plan(space.words(fixed, corner)) for corner in space.corners())
            first.setdefault(low[0].digest, (low[0], name, fixed))
        known = unrecorded(self.metric, [run for run, _, _ in first.values()], sweep.built)
        if known is not None:
            meant = nearest(self.metric, known)
            raise ValueError(
                f"sweeper.metric={self.metric}: no run records it{meant}; give another metric, or "
                "add the diagnostic that measures it"
            )
        root = next(iter(first.values()))[0].root
        with open_journal(root / JOURNAL) as storage:
            searches = [
                _Search(self, sweep, space, self._study(storage, space, run, name), name, fixed)
                for run, name, fixed in first.values()
            ]
            done: list[Run] = []
            # The rounds of all searches are done together.
            while trials := [(s, t, s.runs(t.params)) for s in searches for t in s.ask()]:
                runs = [run for _, _, runs_of_trial in trials for run in runs_of_trial]
                last = max(trial.number for _, trial, _ in trials) + 1
                sweep.do(runs, f"search, to trial {last} of {self.trials}")
                for search, trial, runs_of_trial in trials:
                    search.tell(trial, runs_of_trial)
                done += runs
            results = [search.results() for search in searches]
            write_json(root / RESULTS, results)
        best = [
            search.runs(result["best"]["params"]) if result["best"] else []
            for search, result in zip(searches, results, strict=True)
        ]
        show(sweep, results, best)
        return list(dict.fromkeys([*done, *chain(*best)]))

    def forecast(self, sweep: Sweep) -> Forecast:
        """Count the trials; their runs depend on results."""
        space = space_of(sweep.overrides)
        corner = next(space.corners())
        first = [sweep.plan(space.words(fixed, corner))[0] for fixed in space.compared.values()]
        searches = len({run.digest for run in first})
        note = f"{searches} searches of {self.trials} trials, including those already done"
        count = searches * self.trials * len(space.seeds)
        return Forecast([], more=count, like=first, notes=[note])

    def _study(self, storage: "JournalStorage", space: "Space", first: Run, name: str) -> "Study":
        """Create the study of one search, or load it if it exists."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # Everything that the trials have in common identifies a search, such as their epochs.
        settings = [self.metric, self.direction, self.startup_trials, self.seed]
        common = [first.digest[:IN_NAMES], repr(space.searched), space.seeds, settings]
        digest = hashlib.sha256(json.dumps(common).encode()).hexdigest()[:8]
        return optuna.create_study(
            storage=storage,
            study_name=f"{name or 'search'} {digest}",
            direction=self.direction,
            load_if_exists=True,
        )


@dataclass(frozen=True)
class Space:
    """The three parts of a search's overrides."""

    searched: dict[str, "BaseDistribution"]  # key to ``interval``, ``range`` or ``choice``
    # Name of each search, e.g. ``loss=mse``, to its single values and one of every list ``a,b,c``.
    compared: dict[str, Words]
    seeds: Words  # over which a trial is averaged

    def words(self, fixed: Words, params: dict[str, Any]) -> list[Words]:
        """Return the overrides of a trial's runs, one per seed."""
        searched = [f"{key}={value}" for key, value in params.items()]
        return [[*fixed, *searched, seed] for seed in self.seeds]

    def corners(self) -> Iterator[dict[str, Any]]:
        """Yield the lower ends of all ranges, then the upper ends."""
        for index, end in ((0, "low"), (-1, "high")):
            yield {
                key: d.choices[index] if hasattr(d, "choices") else getattr(d, end)
                for key, d in self.searched.items()
            }


def space_of(overrides: Iterable[Override]) -> Space:
    """Sort overrides into searched ones, compared ones, and seeds."""
    searched: dict[str, BaseDistribution] = {}
    compared: list[Override] = []
    seeds = ["seed=0"]
    for override in overrides:
        value = override.value()
        listed = isinstance(value, ChoiceSweep) and value.simple_form  # a,b,c
        if override.key_or_group == "seed":
            (seeds,) = axes([override])
        elif isinstance(value, ChoiceSweep | IntervalSweep | RangeSweep) and not listed:
            searched[override.get_key_element()] = _distribution(override)
        else:
            compared.append(override)
    if not searched:
        raise ValueError(
            "sweeper=optuna: nothing is searched; give an interval(...), range(...) or "
            "choice(...), such as optimizer.lr=tag(log,interval(0.001,1))"
        )
    lists = [override for override in compared if override.is_sweep_override()]
    names = (", ".join(words) for words in combinations(lists))
    return Space(searched, dict(zip(names, combinations(compared), strict=True)), seeds)


def _distribution(override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep: Any = override.value()
    if not sweep.tags <= {"log"}:
        raise ValueError(f"{override.input_line}: the only tag of a search is log")
    log = "log" in sweep.tags
    try:
        if isinstance(sweep, ChoiceSweep):
            return CategoricalDistribution(list(override.sweep_string_iterator()))
        if isinstance(sweep, IntervalSweep):
            bounds: tuple[Any, Any, Any] = (sweep.start, sweep.end, 0)
        else:
            values = [*sweep.range()]
            bounds = (min(values), max(values), abs(sweep.step))
        low, high, step = bounds
        if isinstance(low, int):  # of a range, or int(interval(1,8))
            return IntDistribution(low, int(high), log=log, step=step or 1)
        even = float(step) if step and not log else None
        return FloatDistribution(float(low), float(high), log=log, step=even)
    except ValueError as error:
        raise ValueError(f"{override.input_line}: {one_line(error)}") from error


@contextmanager
def open_journal(path: Path) -> Iterator["JournalStorage"]:
    """Open Optuna's journal of trials, exclusively for this process.

    Trials that it lists as running are therefore those of a stopped command.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path.parent.mkdir(parents=True, exist_ok=True)
    with lock(path) as mine:
        if not mine:
            raise ValueError(
                f"another command is searching in {path.parent}; wait for it, or give another "
                "name=..."
            )
        content = read_bytes(path)
        if not content.endswith(b"\n"):  # a killed command left half a line
            os.truncate(path, content.rfind(b"\n") + 1)
        # Optuna's own lock file would remain after a kill.
        thread_lock: Any = threading.Lock()
        yield JournalStorage(JournalFileBackend(str(path), lock_obj=thread_lock))


@dataclass(frozen=True)
class _Search:
    """One search, such as that of one loss."""

    settings: Optuna
    sweep: Sweep
    space: Space
    study: "Study"
    name: str
    fixed: Words
    # Numbers of the trials with a failed run, which the next command repeats.
    failed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        from optuna.trial import TrialState

        # A command that was stopped while drawing the values of a trial left it incomplete.
        for trial in self._trials("RUNNING"):
            if trial.params.keys() != self.space.searched.keys():
                self.study.tell(trial.number, state=TrialState.FAIL)

    def _trials(self, *states: str) -> list["FrozenTrial"]:
        from optuna.trial import TrialState

        return self.study.get_trials(deepcopy=False, states=[TrialState[name] for name in states])

    def _open(self) -> list["FrozenTrial"]:
        return [t for t in self._trials("RUNNING") if t.number not in self.failed]

    def ask(self) -> list["FrozenTrial"]:
        """Return the trials to do now, those of a new round if none is open."""
        from optuna.samplers import TPESampler

        settings, count = self.settings, len(self._trials("RUNNING", "COMPLETE"))
        # A command that was stopped while asking for a round left the round incomplete.
        rounds = -(-count // settings.at_once) if self._open() else count // settings.at_once + 1
        for index in range(count, min(rounds * settings.at_once, settings.trials)):
            self.study.sampler = TPESampler(
                seed=derive(settings.seed, "search", index) % 2**32,
                n_startup_trials=settings.startup_trials,
                constant_liar=True,  # otherwise the trials of a round would be alike
            )
            self.study.ask(fixed_distributions=self.space.searched)
        return self._open()

    def runs(self, params: dict[str, Any]) -> list[Run]:
        return self.sweep.plan(self.space.words(self.fixed, params))

    def tell(self, trial: "FrozenTrial", runs: Sequence[Run]) -> None:
        """Report the value of a trial to Optuna, if all its runs are finished."""
        if all(run.finished for run in runs):
            self.study.tell(trial.number, sum(map(self._value, runs)) / len(runs))
        else:
            self.failed.add(trial.number)

    def _value(self, run: Run) -> float:
        path, metric = run.files.summary, self.settings.metric
        summary = read_json(path)
        if metric in summary:
            return float(summary[metric])
        if run.status != "diverged":
            raise ValueError(f"sweeper.metric={metric} is not in {path}; give one that is")
        # A diverged run is worse than any value.
        return -math.inf if self.settings.direction == "maximize" else math.inf

    def results(self) -> dict[str, Any]:
        """Return the content of ``search.json``."""
        finished = self._trials("COMPLETE")
        best = self.study.best_trial if finished else None
        return {
            "search": self.name,
            "study": self.study.study_name,
            "metric": self.settings.metric,
            "direction": self.settings.direction,
            "trials": self.settings.trials,
            "finished": len(finished),
            "best": None if best is None else {"params": best.params, "value": _finite(best.value)},
            "values": [
                {"trial": t.number, "params": t.params, "value": _finite(t.value)} for t in finished
            ],
        }


def show(sweep: Sweep, results: Sequence[dict[str, Any]], best: Sequence[Sequence[Run]]) -> None:
    """Print the best of each search, and the command that confirms it on fresh seeds."""
    keys = list(dict.fromkeys(key for r in results if r["best"] for key in r["best"]["params"]))
    names = ("searched", "trials", *keys, f"best mean {results[0]['metric']}")
    table = Table(*(Column(Text(name)) for name in names))
    for result in results:
        params, value = (result["best"] or {"params": {}, "value": None}).values()
        table.add_row(
            Text(result["search"] or "–"),
            f"{result['finished']}/{result['trials']}",
            *(Text(_short(params.get(key))) for key in keys),
            _short(value),
        )
    sweep.console.print(table)
    for runs in filter(None, best):
        words = shlex.split(runs[0].command)
        kept = [word for word in words[2:] if not word.startswith(("seed=", "name="))]
        seed = max(run.seed for run in runs) + 1
        fresh = [f"name={runs[0].composed.name}_confirm", f"seed=range({seed},{seed + 10})"]
        command = shlex.join([*words[:2], "-m", *kept, *fresh])
        sweep.console.print(Text(f"Confirm on fresh seeds: {command}"), soft_wrap=True)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _short(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
