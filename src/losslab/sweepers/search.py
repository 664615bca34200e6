"""A search with Optuna; its trials are ordinary runs.

This uses Optuna itself, not Hydra's plugin, which is made for Optuna 2, numbers the trials of
every command from 0 and overwrites earlier ones.
"""

import hashlib
import importlib.util
import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

from losslab.files import read_json
from losslab.recording import Run, write_json
from losslab.seeding import derive
from losslab.sweepers.base import Sweep, Sweeper, Texts
from losslab.sweepers.journal import open_journal
from losslab.sweepers.space import Space, space_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import JournalStorage
    from optuna.trial import FrozenTrial

JOURNAL = "optuna.journal"
RESULTS = "search.json"


@final
@dataclass(frozen=True, kw_only=True)
class Optuna(Sweeper):
    """Searches values, with the same number of trials for each thing compared.

    Every combination of lists ``a,b,c`` (of losses, say) has its own search; what is given as
    ``interval``, ``range`` or ``choice`` is searched; a trial is one run per seed, and its value
    their mean. What a trial tries follows from its number and the trials before its round, so
    that a stopped search resumes as if it had never stopped.

    Attributes:
        trials: Of each search.
        at_once: Trials of a search that are done together, before it learns from them.
        metric: A tag of ``summary.json``.
        direction: ``maximize`` or ``minimize``.
        startup_trials: Drawn at random.
        seed: Of the search.

    Raises:
        ValueError: Optuna is not installed, or a value is out of range.
    """

    trials: int = 20
    at_once: int = 4
    metric: str = "val/accuracy"
    direction: Literal["maximize", "minimize"] = "maximize"
    startup_trials: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if importlib.util.find_spec("optuna") is None:
            raise ValueError(
                "sweeper=optuna needs optuna, which is not installed; pip install 'losslab[optuna]'"
            )
        for name in ("trials", "at_once", "startup_trials"):
            if getattr(self, name) < 1:
                raise ValueError(f"sweeper.{name}={getattr(self, name)}; give 1 or more")
        if self.direction not in ("maximize", "minimize"):
            raise ValueError(f"sweeper.direction={self.direction}; give maximize or minimize")

    def run(self, sweep: Sweep) -> list[Run]:
        """Do the trials that are missing; show the best of each search."""
        space = space_of(sweep.overrides)
        corners = [
            sweep.plan(_texts(space, fixed, _corner(space, end)))
            for fixed in space.compared
            for end in ("low", "high")
        ]
        first = corners[0][0]
        with open_journal(first.root / JOURNAL) as storage:
            distinct: dict[str, tuple[int, list[Run]]] = {}  # 1 and 1.0 are one search
            for number, runs in enumerate(corners[::2]):
                distinct.setdefault(runs[0].digest, (number, runs))
            searches = [
                self._search(storage, sweep, space, number, runs[0])
                for number, runs in distinct.values()
            ]
            done = self._do(searches)
            best = [search.best() for search in searches]
            write_json(first.root / RESULTS, [search.results() for search in searches])
        show(sweep, searches)
        return list(dict.fromkeys([*done, *(run for runs in best for run in runs)]))

    def _search(
        self, storage: "JournalStorage", sweep: Sweep, space: Space, number: int, first: Run
    ) -> "_Search":
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        settings = [self.metric, self.direction, self.startup_trials, self.seed]
        # Of all that the trials have in common: with another number of epochs it is another search.
        common = [first.digest, repr(space.searched), space.seeds, settings]
        digest = hashlib.sha256(json.dumps(common).encode()).hexdigest()[:8]
        study = optuna.create_study(
            storage=storage,
            study_name=f"{space.names[number] or 'search'} {digest}",
            direction=self.direction,
            load_if_exists=True,
        )
        return _Search(self, sweep, space, number, study)

    def _do(self, searches: Sequence["_Search"]) -> list[Run]:
        """Go round until every search has its trials; the rounds of all are done together."""
        done: list[Run] = []
        while True:
            rounds = [(search, trial) for search in searches for trial in search.round()]
            if not rounds:
                return done
            runs = {(s.number, t.number): s.runs(t.params) for s, t in rounds}
            every = [run for several in runs.values() for run in several]
            last = max(trial.number for _, trial in rounds) + 1
            searches[0].sweep.do(every, f"search, to trial {last} of {self.trials}")
            for search, trial in rounds:
                search.tell(trial, runs[search.number, trial.number])
            done += every


class _Search:
    """One search: of one loss, say."""

    def __init__(
        self, about: Optuna, sweep: Sweep, space: Space, number: int, study: "Study"
    ) -> None:
        self.about, self.sweep, self.number = about, sweep, number
        self._space, self._study = space, study
        self._left: set[int] = set()  # trials with a run that failed: for the next command
        self._drop_unborn()

    @property
    def name(self) -> str:
        return self._space.names[self.number]

    def trials(self) -> list["FrozenTrial"]:
        """Return all trials that count."""
        from optuna.trial import TrialState

        found = self._study.get_trials(deepcopy=False)
        return [trial for trial in found if trial.state is not TrialState.FAIL]

    def finished(self) -> list["FrozenTrial"]:
        return [trial for trial in self.trials() if trial.state.is_finished()]

    def round(self) -> list["FrozenTrial"]:
        """Return the trials to do now, asking for a new round if none is open."""
        found = self.trials()
        is_open = [t for t in found if not t.state.is_finished() and t.number not in self._left]
        # A command that was stopped while asking for a round left it incomplete.
        size, at_once = len(found), self.about.at_once
        wanted = min(-(-size // at_once) * at_once, self.about.trials)
        if not is_open:
            wanted = min((size // at_once + 1) * at_once, self.about.trials)
        for index in range(size, wanted):
            self._study.sampler = self._sampler(index)
            self._study.ask(fixed_distributions=self._space.searched)
        return [
            t for t in self.trials() if not t.state.is_finished() and t.number not in self._left
        ]

    def runs(self, params: dict[str, Any]) -> list[Run]:
        return self.sweep.plan(_texts(self._space, self._space.compared[self.number], params))

    def tell(self, trial: "FrozenTrial", runs: Sequence[Run]) -> None:
        """Tell the value of a trial, if all its runs have ended."""
        if not all(run.finished for run in runs):
            self._left.add(trial.number)
        else:
            values = [self._value(run) for run in runs]
            self._study.tell(trial.number, sum(values) / len(values))

    def best(self) -> list[Run]:
        """Return the runs of the best trial, none if no trial is finished."""
        return self.runs(self._study.best_trial.params) if self.finished() else []

    def results(self) -> dict[str, Any]:
        """Return what ``search.json`` holds."""
        finished = self.finished()
        best = self._study.best_trial if finished else None
        return {
            "search": self.name,
            "study": self._study.study_name,
            "metric": self.about.metric,
            "direction": self.about.direction,
            "trials": self.about.trials,
            "finished": len(finished),
            "best": None if best is None else {"params": best.params, "value": _finite(best.value)},
            "values": [
                {"trial": t.number, "params": t.params, "value": _finite(t.value)} for t in finished
            ],
        }

    def _value(self, run: Run) -> float:
        path, metric = run.files.summary, self.about.metric
        summary = read_json(path)
        if metric in summary:
            return float(summary[metric])
        if run.status != "diverged":
            raise ValueError(f"sweeper.metric={metric} is not in {path}; give one that is")
        # The metric of a diverged run is worse than any number.
        return -math.inf if self.about.direction == "maximize" else math.inf

    def _sampler(self, index: int) -> Any:
        import warnings

        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import TPESampler

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(
                seed=derive(self.about.seed, "search", index) % 2**32,
                n_startup_trials=self.about.startup_trials,
                constant_liar=True,  # or the trials of a round would all be alike
            )

    def _drop_unborn(self) -> None:
        """Drop trials that were stopped before all their values were drawn."""
        from optuna.trial import TrialState

        for trial in self.trials():
            if not trial.state.is_finished() and trial.params.keys() != self._space.searched.keys():
                self._study.tell(trial.number, state=TrialState.FAIL)


def show(sweep: Sweep, searches: Sequence[_Search]) -> None:
    """Print the best of each search, and how to confirm it."""
    from rich.table import Column, Table
    from rich.text import Text

    found = [search.results() for search in searches]
    keys = list(dict.fromkeys(key for r in found if r["best"] for key in r["best"]["params"]))
    names = ("searched", "trials", *keys, f"best mean {found[0]['metric']}")
    table = Table(*(Column(Text(name)) for name in names))
    for result in found:
        best = result["best"] or {"params": {}, "value": None}
        table.add_row(
            Text(result["search"] or "–"),
            f"{result['finished']}/{result['trials']}",
            *(Text(_short(best["params"].get(key))) for key in keys),
            _short(best["value"]),
        )
    sweep.console.print(table)
    for search, result in zip(searches, found, strict=True):
        if result["best"]:
            command = _confirmation(search.runs(result["best"]["params"]))
            sweep.console.print(Text(f"Confirm on fresh seeds: {command}"), soft_wrap=True)


def _confirmation(runs: Sequence[Run]) -> str:
    """Return what does the best trial again, under a name of its own: chosen numbers flatter."""
    words = shlex.split(runs[0].command)
    own = [word for word in words[2:] if not word.startswith(("seed=", "name="))]
    after = max(run.seed for run in runs) + 1
    fresh = [f"name={runs[0].composed.name}_confirm", f"seed=range({after},{after + 10})"]
    return shlex.join([*words[:2], "-m", *own, *fresh])


def _texts(space: Space, fixed: Texts, params: dict[str, Any]) -> list[Texts]:
    """Return the overrides of a trial's runs, one a seed."""
    own = [f"{key}={value}" for key, value in params.items()]
    return [[*fixed, *own, seed] for seed in space.seeds]


def _corner(space: Space, end: Literal["low", "high"]) -> dict[str, Any]:
    """Return one end of every range, so that both can be checked before anything runs."""
    return {
        key: getattr(d, end) if hasattr(d, end) else d.choices[0 if end == "low" else -1]  # type: ignore[attr-defined]
        for key, d in space.searched.items()
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _short(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
