"""A study that shows: train what is needed, measure numbers, judge a claim on each."""

from dataclasses import dataclass, field
from typing import Any

from losslab import report
from losslab.launchers import Failed
from losslab.study.measure import check_quantities, write_evidence
from losslab.study.points import Points, Session, run_points


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """Runs, measures and claims about single numbers.

    Attributes:
        title: Of the report.
        question: What it answers.
        base: Overrides of every run.
        runs: Set name to ``overrides``, ``grid`` (key to values) and ``seeds``.
        measures: As :func:`~losslab.study.measure.write_evidence`.
        claims: As :class:`~losslab.report.evidence.NumericClaim`.
    """

    title: str
    question: str
    base: list[str] = field(default_factory=list)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    measures: dict[str, dict[str, Any]]
    claims: list[dict[str, Any]]

    def __post_init__(self) -> None:
        for name, about in self.runs.items():
            if "seeds" not in about or not about.keys() <= {"overrides", "grid", "seeds"}:
                raise ValueError(
                    f"study.runs.{name}={about}; give it seeds, and overrides and grid if need be"
                )
            for key, kind in {"overrides": list, "grid": dict}.items():
                if not isinstance(about.get(key, kind()), kind):
                    raise ValueError(
                        f"study.runs.{name}.{key}={about[key]}; give overrides [key=value, ...], "
                        "and a grid {key: [value, ...]}"
                    )
        check_quantities(self.claims, self.measures)

    def run(self, session: Session) -> list[Failed]:
        """Run what is missing, measure, write the report; return the runs that failed."""
        axes = {key for about in self.runs.values() for key in about.get("grid", {})}
        session.check_overrides(axes | {"loss", "seed"})
        runs = {
            name: Points(session, [*self.base, *about.get("overrides", [])]).grid(
                about.get("grid", {}), about["seeds"]
            )
            for name, about in self.runs.items()
        }
        every = [point for points in runs.values() for point in points]
        failed = run_points(session, every, "runs") if every else []
        write_evidence(
            session,
            runs,
            title=self.title,
            question=self.question,
            measures=self.measures,
            claims=self.claims,
        )
        report.build(session.root, console=session.console)
        return failed
