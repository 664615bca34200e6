"""A study: ``conf/study/NAME.yaml`` planned, its missing runs done, and reported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from losslab import report
from losslab.launchers import Failed
from losslab.recording import Run, write_json
from losslab.report.parsing import parse
from losslab.report.plan import (
    PLAN_FILE,
    Arm,
    Claim,
    Condition,
    Plan,
    PlannedRun,
    Rate,
    Step,
    in_condition,
)
from losslab.study.cells import ArmSpec, Cell, ConditionSpec, SetSpec, check_arms, grid_of
from losslab.study.measure import Runs, check_measures, write_evidence
from losslab.study.points import Points, Session, do_runs

RATES: tuple[Rate, ...] = ("reference", "scaled", "own")  # in the order of display
CONFIRM_AT: tuple[Rate, ...] = ("own", "reference")

Starts = dict[tuple[str | None, int], str]  # (arm, seed) to the run from which others may start

# The types of a study's parts, which are mappings and lists in a configuration.
_PARTS: dict[str, Any] = {
    "arms": dict[str, ArmSpec],
    "conditions": dict[str, ConditionSpec],
    "steps": list[Step],
    "runs": dict[str, SetSpec],
    "claims": list[Claim],
}


@dataclass(frozen=True, kw_only=True)
class Study:
    """Arms that are compared, quantities that are measured, and claims about either.

    Arms are tuned on a grid and confirmed on fresh seeds. Measures are functions of the confirming
    runs, or of further sets of runs, or of nothing; they give quantities, tables and figures.

    Attributes:
        title: Of the report.
        question: What it answers.
        base: Overrides of every run.
        arms: :class:`~losslab.study.cells.ArmSpec` by name, in the order of display.
        axis: What the conditions vary, such as ``number of classes``.
        conditions: :class:`~losslab.study.cells.ConditionSpec` by name, in the order of display.
            Every arm is tuned under every condition and then called ``<arm>@<condition>``.
        reference: The arm at whose best value the others are also confirmed.
        parameter: The key that is tuned, such as ``optimizer.lr``.
        values: Its grid.
        select: The tag whose mean over the tuning seeds chooses a value.
        tune_seeds: Of the grid.
        confirm_seeds: Of the comparison; none of the tuning seeds.
        confirm_at: Which values are confirmed: ``own``, ``reference`` or both.
        steps: Of a waterfall: :class:`~losslab.report.plan.Step`, each a side after another.
        runs: :class:`~losslab.study.cells.SetSpec` by name: runs that only measures use.
        measures: Name to a node whose ``_target_`` takes the sets that it ``needs``; those of arms
            are their confirming runs, ``<arm>`` at its own value and ``<arm>:reference``.
        claims: :class:`~losslab.report.plan.Claim` about differences or quantities.

    Raises:
        ValueError: The parts do not fit together.
    """

    title: str
    question: str
    base: list[str] = field(default_factory=list)
    arms: dict[str, Any] = field(default_factory=dict)
    axis: str = ""
    conditions: dict[str, Any] = field(default_factory=dict)
    reference: str = ""
    parameter: str = ""
    values: list[float] = field(default_factory=list)
    select: str = "val/accuracy"
    tune_seeds: list[int] = field(default_factory=list)
    confirm_seeds: list[int] = field(default_factory=list)
    confirm_at: list[Rate] = field(default_factory=lambda: list(CONFIRM_AT))
    steps: list[Any] = field(default_factory=list)
    runs: dict[str, Any] = field(default_factory=dict)
    measures: dict[str, dict[str, Any]] = field(default_factory=dict)
    claims: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            object.__setattr__(self, name, parse(kind, getattr(self, name), f"study.{name}"))
        if not self.arms and not self.measures:
            raise ValueError("the study has neither arms nor measures; give one of them")
        if self.arms:
            self._check_comparison()
        check_measures(self.measures, self.claims)

    def _check_comparison(self) -> None:
        for name in ("values", "tune_seeds", "confirm_seeds", "confirm_at"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise ValueError(f"study.{name}={given}; give a list of at least one, each once")
        for name in ("tune_seeds", "confirm_seeds"):
            if min(getattr(self, name)) < 0:
                raise ValueError(f"study.{name}={getattr(self, name)}; give numbers from 0 up")
        check_arms(self.arms, self.conditions)
        for name, given, allowed in (
            ("reference", [self.reference], self.arms),
            ("confirm_at", self.confirm_at, CONFIRM_AT),
        ):
            if not set(given) <= set(allowed):
                raise ValueError(
                    f"study.{name}={getattr(self, name)}; allowed are {', '.join(allowed)}"
                )
        if not self.parameter:
            raise ValueError("study.parameter is missing; give the key that is tuned")
        both = set(self.tune_seeds) & set(self.confirm_seeds)
        if both:
            raise ValueError(
                f"the seeds {sorted(both)} are in tune_seeds and confirm_seeds; a comparison needs "
                "fresh ones"
            )

    def cells(self, session: Session) -> dict[str, Cell]:
        """Return every arm under every condition."""
        cells = {}
        for condition in self.conditions or [""]:
            under = self.conditions.get(condition)
            for arm, about in self.arms.items():
                name = in_condition(arm, condition)
                there = under.overrides if under else []
                cells[name] = Cell(
                    name=name,
                    label=about.label,
                    loss=about.loss or arm,
                    reference=in_condition(self.reference, condition),
                    values=grid_of(arm, about, under) or self.values,
                    scale=about.scale,
                    start=in_condition(about.start, condition) if about.start else None,
                    points=Points(session, [*self.base, *there, *about.overrides]),
                    root=session.root,
                )
        return cells

    def sets(self, session: Session) -> Runs:
        """Return the sets of runs that only measures use."""
        return {
            name: Points(session, [*self.base, *about.overrides]).grid(about.grid, about.seeds)
            for name, about in self.runs.items()
        }

    def plan(self, session: Session, cells: Mapping[str, Cell], sets: Runs) -> Plan:
        """Return what is known before the first run.

        Raises:
            ValueError: A claim or a step names something that the study lacks.
        """
        rates = {*self.confirm_at, *(["scaled"] if any(c.scale for c in cells.values()) else [])}
        grid: dict[str, Any] = {
            "axis": self.axis,
            "reference": self.reference,
            "parameter": self.parameter,
            "values": tuple(sorted({value for cell in cells.values() for value in cell.values})),
            "select": self.select,
            "rates": tuple(rate for rate in RATES if rate in rates),
        }
        return Plan(
            study=session.name,
            title=self.title,
            question=self.question,
            command=session.command,
            arms={
                name: Arm(cell.label, cell.loss, name.partition("@")[2])
                for name, cell in cells.items()
            },
            conditions={
                name: Condition(about.label, about.position)
                for name, about in self.conditions.items()
            },
            chosen={},
            runs=tuple(sorted({run.name for runs in sets.values() for run in runs})),
            claims=tuple(self.claims),
            steps=tuple(self.steps),
            **(grid if cells else {}),
        )

    def run(self, session: Session) -> list[Failed]:
        """Do the missing runs and write the report; return the runs that failed."""
        session.check_overrides(self._varied(session))
        cells, sets = self.cells(session), self.sets(session)
        # A claim that cannot be judged should not cost a training first.
        plan = self.plan(session, cells, sets)
        every = [run for runs in sets.values() for run in runs]
        failed: list[Failed] = []
        if every or not cells:
            failed = do_runs(session, every, "runs", checked=lambda: _write(session, plan))
        # Arms that start from another one's weights come after it.
        stages = [
            {name: cell for name, cell in cells.items() if (cell.start is None) is first}
            for first in (True, False)
        ]
        for stage in filter(None, stages):
            if cells and plan.tune and failed:
                break
            plan, tuned = self._tune(session, plan, stage)
            plan, confirmed, compared = self._confirm(session, plan, stage)
            sets |= confirmed
            failed += [*tuned, *compared]
        if self.measures:
            labels = {name: plan.label(name) for name in cells}
            write_evidence(session, sets, self.measures, labels=labels)
        report.build(session.root, console=session.console)
        return failed

    def _varied(self, session: Session) -> set[str]:
        """Return the keys that the study itself sets, run by run."""
        texts = [text for arm in self.arms.values() for text in arm.overrides]
        texts += [text for condition in self.conditions.values() for text in condition.overrides]
        made = session.composer.parse(texts)
        of_arms = {override.key_or_group for override in made} | {self.parameter}
        of_sets = {"loss"} | {key for about in self.runs.values() for key in about.grid}
        return {"seed"} | (of_arms if self.arms else of_sets)

    def _tune(
        self, session: Session, plan: Plan, stage: Mapping[str, Cell]
    ) -> tuple[Plan, list[Failed]]:
        """Run the grid of some arms; return the plan with it and what was chosen."""
        starts = _starts(plan)
        runs: list[Run] = []
        tune: list[PlannedRun] = []
        for name, cell in stage.items():
            if cell.start is None or cell.start in plan.chosen:
                for value in cell.values:
                    made = self._runs(cell, value, self.tune_seeds, starts)
                    runs += made
                    tune += [PlannedRun(name, value, run.seed, run.name) for run in made]
        plan = replace(plan, tune=(*plan.tune, *tune))
        failed = do_runs(session, runs, "tune", checked=lambda: _write(session, plan))
        grid = report.tuning_points(plan, report.load_runs(session.root))
        chosen = {arm: choice.value for arm, choice in report.select(grid).items()}
        return replace(plan, chosen=chosen), failed

    def _confirm(
        self, session: Session, plan: Plan, stage: Mapping[str, Cell]
    ) -> tuple[Plan, Runs, list[Failed]]:
        """Run some arms on fresh seeds; return the plan with them, and them as sets."""
        starts = _starts(plan)
        confirmed: Runs = {}
        confirm: list[PlannedRun] = []
        for name, cell in stage.items():
            for rate, value in self._values(cell, plan.chosen).items():
                made = self._runs(cell, value, self.confirm_seeds, starts)
                confirmed[name if rate == "own" else f"{name}:{rate}"] = made
                confirm += [PlannedRun(name, value, run.seed, run.name, rate) for run in made]
        plan = replace(plan, confirm=(*plan.confirm, *confirm))
        runs = [run for made in confirmed.values() for run in made]
        failed = do_runs(session, runs, "confirm", checked=lambda: _write(session, plan))
        return plan, confirmed, failed

    def _values(self, cell: Cell, chosen: Mapping[str, float]) -> dict[Rate, float]:
        """Return the values at which an arm is confirmed, as far as they are known."""
        values: dict[Rate, float] = {}
        if cell.name not in chosen:
            return values
        if "own" in self.confirm_at:
            values["own"] = chosen[cell.name]
        if cell.reference in chosen:
            if "reference" in self.confirm_at:
                values["reference"] = chosen[cell.reference]
            if cell.scale is not None:
                values["scaled"] = chosen[cell.reference] * cell.scale
        return values

    def _runs(self, cell: Cell, value: float, seeds: Sequence[int], starts: Starts) -> list[Run]:
        return [
            cell.run(self.parameter, value, seed, start=starts.get((cell.start, seed)))
            for seed in seeds
        ]


def _starts(plan: Plan) -> Starts:
    """Return (arm, seed) to the run of the arm's chosen value, from which others may start."""
    own = [run for run in plan.confirm if run.rate == "own"]
    own += [run for run in plan.tune if run.value == plan.chosen.get(run.arm)]
    return {(run.arm, run.seed): run.run for run in own}


def _write(session: Session, plan: Plan) -> None:
    session.root.mkdir(parents=True, exist_ok=True)
    write_json(session.root / PLAN_FILE, plan.to_json())
