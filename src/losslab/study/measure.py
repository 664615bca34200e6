"""Measures: functions from finished runs to numbers, tables and drawings, named in a study."""

from collections.abc import Callable
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from losslab.recording import FINISHED, manifest, write_atomically
from losslab.report.evidence import (
    EVIDENCE_FILE,
    Evidence,
    Measurement,
    NumericClaim,
    evidence_text,
)
from losslab.study.points import Point, Session

Runs = dict[str, list[Point]]
"""Name of a set to its runs, all finished."""

Measure = Callable[[Runs], Measurement]


def check_quantities(claims: list[dict[str, Any]], measures: dict[str, dict[str, Any]]) -> None:
    """Raise ``ValueError`` for a claim about a measure that the study does not have."""
    for claim in claims:
        measure = claim["quantity"].partition(".")[0]
        if measure not in measures:
            raise ValueError(
                f"claim {claim['id']} is about the measure {measure!r}; the study has "
                f"{', '.join(measures)}"
            )


def write_evidence(
    session: Session,
    runs: Runs,
    *,
    title: str,
    question: str,
    measures: dict[str, dict[str, Any]],
    claims: list[dict[str, Any]],
) -> None:
    """Measure what can be measured and write ``evidence.json`` into the study's folder.

    Args:
        session: The study's.
        runs: All that the study planned; a measure whose sets are not all finished is left out.
        title: Of the report.
        question: What it answers.
        measures: Name to a node whose ``_target_`` takes the :data:`Runs` of its ``needs`` and
            gives a :class:`~losslab.report.evidence.Measurement`.
        claims: As :class:`~losslab.report.evidence.NumericClaim`.
    """
    complete = {
        name: points
        for name, points in runs.items()
        if points and all(point.identity.directory.status in FINISHED for point in points)
    }
    evidence = Evidence(
        study=session.name,
        title=title,
        question=question,
        command=session.command,
        manifest=manifest(command=session.command, device="cpu", threads=1, choices={}),
        claims=[NumericClaim(**claim) for claim in claims],
        measurements={
            name: measured
            for name, node in measures.items()
            if (measured := _measure(name, node, complete)) is not None
        },
        runs=sorted({point.run for points in runs.values() for point in points}),
    )
    session.root.mkdir(parents=True, exist_ok=True)
    write_atomically(session.root / EVIDENCE_FILE, evidence_text(evidence))


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
