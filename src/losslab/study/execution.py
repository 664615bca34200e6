"""Carry out a study: do its missing runs, measure, and report."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import signature
from itertools import chain
from typing import TYPE_CHECKING, Self

from losslab import report
from losslab.experiment.make import make
from losslab.launchers import Failed
from losslab.launchers.forecast import Forecast
from losslab.recording import Run, manifest, write_atomically
from losslab.report.measurement import Evidence, Measurement
from losslab.report.plan import EVIDENCE_FILE, Plan, PlannedRun
from losslab.study.session import Session
from losslab.study.study import Cell, Point, Study, measure_node

if TYPE_CHECKING:
    from losslab.study.measure import Runs


def run(study: Study, session: Session) -> list[Failed]:
    """Do a study's missing runs and write its report; return the runs that failed."""
    with session.launcher:
        with session.console.status(f"{session.name}: planning its runs"):
            execution = Execution.checked(study, session)
        execution.run()
    if study.measures:
        execution.measure()
    report.build(session.root, console=session.console)
    return execution.failed


def forecast(study: Study, session: Session) -> Forecast:
    """Return the study's runs that are known so far; write nothing."""
    return Execution.checked(study, session).forecast()


@dataclass(kw_only=True)
class Execution:
    """A study that is being carried out."""

    study: Study
    session: Session
    cells: dict[str, Cell]
    sets: "Runs"  # planned so far
    plan: Plan  # so far
    failed: list[Failed] = field(default_factory=list)

    @classmethod
    def checked(cls, study: Study, session: Session) -> Self:
        """Return the execution before its first run, after all checks that need no training."""
        session.check_overrides(study.varied(session))
        cells, sets = study.cells(session), study.sets(session)
        plan = study.plan(session, cells, sets)
        study.check_names(session, plan, cells, sets)
        return cls(study=study, session=session, cells=cells, sets=sets, plan=plan)

    def run(self) -> None:
        """Do the missing runs."""
        if self.sets or not self.cells:
            runs = list(chain(*self.sets.values()))
            self.failed += self.session.do(runs, "runs", self.plan)
        for stage in self._stages():
            if self.plan.tune and self.failed:
                break
            chosen = self.plan.chosen
            self.do("tune", _grid(cell for cell in stage if not cell.start or cell.start in chosen))
            self._choose()
            self.do("confirm", self.confirming(stage))

    def forecast(self) -> Forecast:
        """Return the runs that are known so far; write nothing."""
        study, runs, more = self.study, list(chain(*self.sets.values())), 0
        for stage in self._stages():
            # The reference is confirmed at one rate.
            points = sum(
                1
                if cell.name == cell.reference
                else len(study.confirm_at) + (cell.arm.scale is not None)
                for cell in stage
            )
            confirmed = len(study.confirm_seeds) * points
            # Warm starts can be planned only once the weights they start from exist.
            if stage[0].start and (more or any(run.pending for run in runs)):
                more += confirmed + len(study.tune_seeds) * len(_grid(stage))
                continue
            tuned = self.add(_grid(stage))
            runs += tuned
            if any(run.pending for run in tuned):
                more += confirmed
            else:
                self._choose()
                runs += self.add(self.confirming(stage))
        runs = list(dict.fromkeys(runs))
        return Forecast(runs, more=more, shared=self.session.count_shared(runs))

    def _stages(self) -> Iterator[list[Cell]]:
        """Yield the arms that start from random weights, then those that start from these arms."""
        for warm in (False, True):
            if stage := [cell for cell in self.cells.values() if bool(cell.start) is warm]:
                yield stage

    def do(self, title: str, points: Iterable[Point]) -> None:
        """Do the missing runs of some points."""
        with self.session.console.status(f"{self.session.name}: {title}: planning its runs"):
            runs = self.add(points)
        self.failed += self.session.do(runs, title, self.plan)

    def add(self, points: Iterable[Point]) -> list[Run]:
        """Add the runs of some points to the plan and the sets; return them."""
        tune, confirm = list(self.plan.tune), list(self.plan.confirm)
        sets: Runs = {}
        for point in points:
            cell, rate, value = point
            runs = self.runs_of(point)
            sets.setdefault(point.set_name, []).extend(runs)
            planned = tune if rate is None else confirm
            planned += [PlannedRun(cell.name, value, run.seed, run.name, rate) for run in runs]
        self.sets |= sets
        self.plan = replace(self.plan, tune=tuple(tune), confirm=tuple(confirm))
        return list(chain(*sets.values()))

    def _choose(self) -> None:
        """Choose the values of arms from the tuning runs so far."""
        runs = report.load_runs(self.session.root)
        choices = report.select(report.tuning_points(self.plan, runs), self.plan.tolerance)
        chosen = {arm: choice.value for arm, choice in choices.items()}
        self.plan = replace(self.plan, chosen=chosen)

    def confirming(self, cells: Iterable[Cell]) -> list[Point]:
        """Return the points at which cells with a chosen value are confirmed."""
        chosen, points = self.plan.chosen, list[Point]()
        for cell in (cell for cell in cells if cell.name in chosen):
            reference = chosen.get(cell.reference)
            if "own" in self.study.confirm_at:
                points.append(Point(cell, "own", chosen[cell.name]))
            if reference is not None and "reference" in self.study.confirm_at:
                points.append(Point(cell, "reference", reference))
            if reference is not None and cell.arm.scale is not None:
                points.append(Point(cell, "scaled", reference * cell.arm.scale))
        return points

    def runs_of(self, point: Point) -> list[Run]:
        """Return the runs of a point: on tuning seeds without a rate, else on confirming seeds.

        The plan must have the runs whose weights they start from.
        """
        cell, rate, value = point
        chosen = [run for run in self.plan.confirm if run.rate == "own"]
        chosen += [run for run in self.plan.tune if run.value == self.plan.chosen.get(run.arm)]
        starts = {run.seed: run.run for run in chosen if run.arm == cell.start}
        return [
            cell.run(self.study.parameter, value, seed, start=starts.get(seed))
            for seed in (self.study.confirm_seeds if rate else self.study.tune_seeds)
        ]

    def measure(self) -> None:
        """Call the measures whose runs are finished; write ``evidence.json``."""
        root, labels = self.session.root, {name: self.plan.label(name) for name in self.cells}
        complete = {
            name: runs
            for name, runs in self.sets.items()
            if runs and all(run.finished for run in runs)
        }
        measured: dict[str, Measurement] = {}
        for name, node in self.study.measures.items():
            needs = node.get("needs", [])
            if set(needs) <= complete.keys():
                measure = make(measure_node(node), f"study.measures.{name}")
                if "labels" in signature(measure).parameters and "labels" not in node:
                    measure = partial(measure, labels=labels)
                measured[name] = measure({need: complete[need] for need in needs})
        provenance = manifest(command=self.session.command, device="cpu", threads=1, choices={})
        root.mkdir(parents=True, exist_ok=True)
        write_atomically(root / EVIDENCE_FILE, Evidence(measured, provenance).text())


def _grid(cells: Iterable[Cell]) -> list[Point]:
    """Return the points at which cells are tuned."""
    return [Point(cell, None, value) for cell in cells for value in cell.values]
