"""A study that shows: train what is needed, measure numbers, judge a claim on each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from losslab import report
from losslab.recording import FINISHED, manifest, write_atomically
from losslab.report.evidence import (
    EVIDENCE_FILE,
    Evidence,
    Measurement,
    NumericClaim,
    evidence_text,
)
from losslab.study.launch import Failed
from losslab.study.points import Point, Points, Session, run_points

Runs = dict[str, list[Point]]
"""Name of a set to its runs, all finished."""

Measure = Callable[[Runs], Measurement]


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """Runs, measures and claims about single numbers.

    Attributes:
        title: Of the report.
        question: What it answers.
        base: Overrides of every run.
        runs: Set name to ``overrides``, ``grid`` (key to values) and ``seeds``.
        measures: Name to a node whose ``_target_`` takes the :data:`Runs` and gives a
            :class:`~losslab.report.evidence.Measurement`.
        claims: As :class:`~losslab.report.evidence.NumericClaim`.
    """

    title: str
    question: str
    base: list[str] = field(default_factory=list)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    measures: dict[str, dict[str, Any]]
    claims: list[dict[str, Any]]

    def __post_init__(self) -> None:
        for claim in self.claims:
            measure = claim["quantity"].partition(".")[0]
            if measure not in self.measures:
                raise ValueError(
                    f"claim {claim['id']} is about the measure {measure!r}; the study has "
                    f"{', '.join(self.measures)}"
                )

    def run(self, session: Session) -> list[Failed]:
        """Run what is missing, measure, write the report; return the runs that failed."""
        runs = {
            name: Points(session, [*self.base, *about.get("overrides", [])]).grid(
                about.get("grid", {}), about["seeds"]
            )
            for name, about in self.runs.items()
        }
        every = [point for points in runs.values() for point in points]
        failed = run_points(session, every, "runs") if every else []
        root = Points(session, self.base).point({}, 0).root
        complete = {
            name: points
            for name, points in runs.items()
            if all(point.identity.directory.status in FINISHED for point in points)
        }
        evidence = Evidence(
            study=session.name,
            title=self.title,
            question=self.question,
            command=session.command,
            manifest=manifest(command=session.command, device="cpu", threads=1, choices={}),
            claims=[NumericClaim(**claim) for claim in self.claims],
            measurements={
                name: measured
                for name, node in self.measures.items()
                if (measured := _measure(name, node, complete)) is not None
            },
            runs=sorted({point.run for point in every}),
        )
        root.mkdir(parents=True, exist_ok=True)
        write_atomically(root / EVIDENCE_FILE, evidence_text(evidence))
        report.build(root, console=session.console)
        return failed


def _measure(name: str, node: dict[str, Any], runs: Runs) -> Measurement | None:
    """Return what was measured, ``None`` where the runs it needs are not there."""
    needs = node.get("needs", [])
    if any(need not in runs for need in needs):
        return None
    arguments = {key: value for key, value in node.items() if key != "needs"}
    try:
        partial: Measure = instantiate(
            OmegaConf.create(arguments | {"_partial_": True}), _convert_="all"
        )
    except InstantiationException as error:
        raise ValueError(f"study.measures.{name}: {error.__cause__ or error}") from error
    return partial({need: runs[need] for need in needs})
