"""A study that compares arms: tune each on a grid, confirm on fresh seeds, judge the claims."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from losslab import report
from losslab.launchers import Failed
from losslab.recording import write_json
from losslab.report.plan import Claim, Rate
from losslab.study.cells import Cell, check_arms, check_conditions, make_cells
from losslab.study.measure import check_quantities, write_evidence
from losslab.study.points import Point, Session, run_points

RATES: tuple[Rate, ...] = ("reference", "scaled", "own")  # in the order of display
CONFIRM_AT: tuple[Rate, ...] = ("own", "reference")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Tune, then confirm.

    Attributes:
        title: Of the report.
        question: What it answers.
        base: Overrides of every run.
        arms: By name, in the order of display: ``label``, and ``overrides`` that make it.
            Optional: ``loss``, whose colour it has (the arm's name if not given); ``values``, a
            grid of its own; ``scale``, to be confirmed also at the reference's best value times
            this; ``start``, an arm from whose final weights it sets out, seed by seed.
        axis: What the conditions vary, e.g. ``number of classes``.
        conditions: By name, in the order of display: ``label`` and ``overrides``, optionally
            ``position`` on the axis and ``values``, a grid for all or one an arm. Every arm is
            tuned under every condition and then called ``<arm>@<condition>``. None: one table.
        reference: The arm at whose best value the others are confirmed, too.
        parameter: The key that is tuned, e.g. ``optimizer.lr``.
        values: Its grid.
        select: The tag whose mean over the tuning seeds chooses a value.
        tune_seeds: Of the grid.
        confirm_seeds: Of the comparison; none of the tuning seeds.
        confirm_at: Which values are confirmed: ``own``, ``reference`` or both.
        claims: As the report reads them (:class:`losslab.report.plan.Claim`), or with a
            ``quantity``, as :class:`losslab.report.evidence.NumericClaim`.
        measures: As :func:`losslab.study.measure.write_evidence`; the sets that they may need are
            the arms' confirming runs, ``<arm>`` at its own value and ``<arm>:reference``.
        steps: Sides whose differences, one after the other, make a waterfall: each with
            ``label``, ``arm`` and ``rate``.

    Raises:
        ValueError: The parts do not fit.
    """

    title: str
    question: str
    base: list[str]
    arms: dict[str, dict[str, Any]]
    axis: str = ""
    conditions: dict[str, dict[str, Any]] = field(default_factory=dict)
    reference: str
    parameter: str
    values: list[float]
    select: str
    tune_seeds: list[int]
    confirm_seeds: list[int]
    confirm_at: list[Rate] = field(default_factory=lambda: list(CONFIRM_AT))
    claims: list[dict[str, Any]] = field(default_factory=list)
    measures: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("values", "tune_seeds", "confirm_seeds", "confirm_at"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise ValueError(f"study.{name}={given}; give a list of at least one, each once")
        for name in ("tune_seeds", "confirm_seeds"):
            if min(getattr(self, name)) < 0:
                raise ValueError(f"study.{name}={getattr(self, name)}; give numbers from 0 up")
        check_arms(self.arms)
        check_conditions(self.conditions)
        if self.reference not in self.arms:
            raise ValueError(
                f"study.reference={self.reference}; give one of the arms {', '.join(self.arms)}"
            )
        if not set(self.confirm_at) <= set(CONFIRM_AT):
            raise ValueError(
                f"study.confirm_at={self.confirm_at}; give a list of {' and '.join(CONFIRM_AT)}"
            )
        both = set(self.tune_seeds) & set(self.confirm_seeds)
        if both:
            raise ValueError(
                f"the study's seeds {sorted(both)} tune and confirm; a comparison needs fresh ones"
            )
        check_quantities(self._numeric_claims, self.measures)
        needed = {part.name for part in fields(Claim)} - {"beyond"}
        for claim in self.claims:
            lacks = sorted(needed - claim.keys()) if "quantity" not in claim else []
            if lacks:
                raise ValueError(f"study.claims: the claim {claim} has no {lacks[0]}; give it one")

    @property
    def _numeric_claims(self) -> list[dict[str, Any]]:
        return [claim for claim in self.claims if "quantity" in claim]

    def cells(self, session: Session) -> dict[str, Cell]:
        """Return every arm under every condition."""
        return make_cells(
            session,
            base=self.base,
            arms=self.arms,
            conditions=self.conditions,
            reference=self.reference,
            values=self.values,
        )

    def run(self, session: Session) -> list[Failed]:
        """Run what is missing and write the report; return the runs that failed."""
        parts = (*self.arms.values(), *self.conditions.values())
        made = session.composer.parse([text for part in parts for text in part["overrides"]])
        own = {override.key_or_group for override in made}
        session.check_overrides(own | {self.parameter, "seed"})
        cells = self.cells(session)
        plan = self.plan(session, cells)
        # A claim that cannot be judged should not cost a training first.
        described = report.parse_plan(plan)
        failed: list[Failed] = []
        confirmed: dict[str, list[Point]] = {}
        # Arms that set out from another one's weights come after it.
        for stage in _stages(cells):
            if failed:
                break
            failed += self._tune(session, plan, stage)
            failed += self._confirm(session, plan, stage, confirmed)
        if self.measures:
            write_evidence(
                session,
                confirmed,
                title=self.title,
                question=self.question,
                measures=self.measures,
                claims=self._numeric_claims,
                labels={name: described.label(name) for name in cells},
            )
        report.build(session.root, console=session.console)
        return failed

    def _tune(
        self, session: Session, plan: dict[str, Any], stage: Mapping[str, Cell]
    ) -> list[Failed]:
        starts = _starts(plan)
        points = {
            name: [
                cell.point(self.parameter, value, seed, start=starts.get((cell.start, seed)))
                for value in cell.values
                for seed in self.tune_seeds
            ]
            for name, cell in stage.items()
            if cell.start is None or cell.start in plan["chosen"]
        }
        plan["tune"] += [
            self._entry(name, point) for name, tuned in points.items() for point in tuned
        ]
        failed = run_points(
            session,
            [point for tuned in points.values() for point in tuned],
            "tune",
            checked=lambda: _write(session, plan),
        )
        parsed = report.load_plan(session.root)
        choices = report.select(parsed, report.load_runs(session.root))
        plan["chosen"] = {arm: choice.value for arm, choice in choices.items()}
        return failed

    def _confirm(
        self,
        session: Session,
        plan: dict[str, Any],
        stage: Mapping[str, Cell],
        confirmed: dict[str, list[Point]],
    ) -> list[Failed]:
        starts = _starts(plan)
        points: list[Point] = []
        for name, cell in stage.items():
            for rate, value in self._values(cell, plan["chosen"]).items():
                made = [
                    cell.point(self.parameter, value, seed, start=starts.get((cell.start, seed)))
                    for seed in self.confirm_seeds
                ]
                confirmed[name if rate == "own" else f"{name}:{rate}"] = made
                plan["confirm"] += [self._entry(name, point) | {"rate": rate} for point in made]
                points += made
        return run_points(session, points, "confirm", checked=lambda: _write(session, plan))

    def _values(self, cell: Cell, chosen: dict[str, float]) -> dict[Rate, float]:
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

    def plan(self, session: Session, cells: Mapping[str, Cell]) -> dict[str, Any]:
        """Return what ``study.json`` holds before the first run."""
        return {
            "study": session.name,
            "title": self.title,
            "question": self.question,
            "command": session.command,
            "arms": {name: {"label": c.label, "loss": c.loss} for name, c in cells.items()},
            "axis": self.axis,
            "conditions": {
                name: {key: about[key] for key in ("label", "position") if key in about}
                for name, about in self.conditions.items()
            },
            "reference": self.reference,
            "parameter": self.parameter,
            "values": sorted({value for cell in cells.values() for value in cell.values}),
            "select": self.select,
            "rates": [rate for rate in RATES if rate in self._rates(cells)],
            "tune": [],
            "chosen": {},
            "confirm": [],
            "claims": [claim for claim in self.claims if "quantity" not in claim],
            "steps": self.steps,
        }

    def _rates(self, cells: Mapping[str, Cell]) -> set[Rate]:
        scaled: set[Rate] = {"scaled"} if any(c.scale for c in cells.values()) else set()
        return set(self.confirm_at) | scaled

    def _entry(self, arm: str, point: Point) -> dict[str, Any]:
        value = point.values[self.parameter]
        return {"arm": arm, "value": value, "seed": point.seed, "run": point.run}


def _stages(cells: Mapping[str, Cell]) -> Sequence[dict[str, Cell]]:
    first = {name: cell for name, cell in cells.items() if cell.start is None}
    second = {name: cell for name, cell in cells.items() if cell.start is not None}
    return [first, second] if second else [first]


def _starts(plan: dict[str, Any]) -> dict[tuple[str | None, int], str]:
    """Return (arm, seed) to the run of the arm's chosen value, from which others may set out."""
    own = [run for run in plan["confirm"] if run["rate"] == "own"]
    own += [run for run in plan["tune"] if run["value"] == plan["chosen"].get(run["arm"])]
    return {(run["arm"], run["seed"]): run["run"] for run in own}


def _write(session: Session, plan: dict[str, Any]) -> None:
    session.root.mkdir(parents=True, exist_ok=True)
    write_json(session.root / "study.json", plan)
