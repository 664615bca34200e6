"""A study that compares arms: tune each on a grid, confirm on fresh seeds, judge the claims."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from losslab import report
from losslab.recording import write_json
from losslab.study.launch import Failed
from losslab.study.points import Point, Points, Session, run_points


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Tune, then confirm.

    Attributes:
        title: Of the report.
        question: What it answers.
        base: Overrides of every run.
        arms: By name, in the order of display: ``label``, and ``overrides`` that make it.
        reference: The arm at whose best value the others are confirmed, too.
        parameter: The key that is tuned, e.g. ``optimizer.lr``.
        values: Its grid.
        select: The tag whose mean over the tuning seeds chooses a value.
        tune_seeds: Of the grid.
        confirm_seeds: Of the comparison; none of the tuning seeds.
        claims: As the report reads them (:class:`losslab.report.plan.Claim`).

    Raises:
        ValueError: The parts do not fit.
    """

    title: str
    question: str
    base: list[str]
    arms: dict[str, dict[str, Any]]
    reference: str
    parameter: str
    values: list[float]
    select: str
    tune_seeds: list[int]
    confirm_seeds: list[int]
    claims: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("values", "tune_seeds", "confirm_seeds"):
            if not isinstance(getattr(self, name), list) or not getattr(self, name):
                raise ValueError(f"study.{name}={getattr(self, name)}; give a list of at least one")
        for name, arm in self.arms.items():
            if not isinstance(arm.get("overrides"), list) or set(arm) != {"label", "overrides"}:
                raise ValueError(
                    f"study.arms.{name}={arm}; give it a label and a list of overrides, no more"
                )
        if self.reference not in self.arms:
            raise ValueError(
                f"study.reference={self.reference}; give one of the arms {', '.join(self.arms)}"
            )
        both = set(self.tune_seeds) & set(self.confirm_seeds)
        if both:
            raise ValueError(
                f"the study's seeds {sorted(both)} tune and confirm; a comparison needs fresh ones"
            )
        for claim in self.claims:
            for side in ("left", "right"):
                if claim[side]["arm"] not in self.arms:
                    raise ValueError(
                        f"claim {claim['id']} is about the arm {claim[side]['arm']!r}; "
                        f"the study has {', '.join(self.arms)}"
                    )

    def run(self, session: Session) -> list[Failed]:
        """Run what is missing and write the report; return the runs that failed."""
        arms = {
            name: Points(session, [*self.base, *arm["overrides"]])
            for name, arm in self.arms.items()
        }
        tune = {
            name: points.grid({self.parameter: self.values}, self.tune_seeds)
            for name, points in arms.items()
        }
        every = [point for points in tune.values() for point in points]
        root = every[0].root
        plan = self._plan(session, tune)
        report.parse_plan(plan)  # a claim that cannot be judged should not cost a training first
        failed = run_points(session, every, "tune")
        _write(root, plan)
        choices = report.select(report.load_plan(root), report.load_runs(root))
        chosen = {arm: choice.value for arm, choice in choices.items()}
        confirm = [
            (arm, rate, arms[arm].point({self.parameter: value}, seed))
            for rate, values in (("own", chosen), ("reference", self._at_reference(chosen)))
            for arm, value in values.items()
            for seed in self.confirm_seeds
        ]
        plan["chosen"] = chosen
        plan["confirm"] = [self._entry(arm, point) | {"rate": rate} for arm, rate, point in confirm]
        _write(root, plan)
        failed += run_points(session, [point for _, _, point in confirm], "confirm")
        report.build(root, console=session.console)
        return failed

    def _plan(self, session: Session, tune: dict[str, list[Point]]) -> dict[str, Any]:
        return {
            "study": session.name,
            "title": self.title,
            "question": self.question,
            "command": session.command,
            "arms": {name: {"label": arm["label"]} for name, arm in self.arms.items()},
            "reference": self.reference,
            "parameter": self.parameter,
            "values": self.values,
            "select": self.select,
            "tune": [self._entry(arm, point) for arm, points in tune.items() for point in points],
            "chosen": {},
            "confirm": [],
            "claims": self.claims,
        }

    def _entry(self, arm: str, point: Point) -> dict[str, Any]:
        value = point.values[self.parameter]
        return {"arm": arm, "value": value, "seed": point.seed, "run": point.run}

    def _at_reference(self, chosen: dict[str, float]) -> dict[str, float]:
        """Return every arm at the reference's value, if that is known."""
        value: Sequence[float] = [chosen[self.reference]] if self.reference in chosen else []
        return {arm: at for arm in self.arms for at in value}


def _write(root: Path, plan: dict[str, Any]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    write_json(root / "study.json", plan)
