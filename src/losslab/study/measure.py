"""Measures: functions from finished runs to numbers, tables and drawings, named in a study."""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any

from omegaconf import DictConfig, OmegaConf

from losslab.experiment.arguments import check_arguments
from losslab.experiment.make import make
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

Measure = Callable[..., Measurement]  # of Runs, and of labels where it takes them


def check_quantities(claims: list[dict[str, Any]], measures: dict[str, dict[str, Any]]) -> None:
    """Raise ``ValueError`` for a wrong measure, or a claim about one that is not there."""
    for name, node in measures.items():
        check_arguments(_partial(node), f"study.measures.{name}")
    for claim in map(_claim, claims):
        measure = claim.quantity.partition(".")[0]
        if measure not in measures:
            raise ValueError(
                f"claim {claim.id} is about the measure {measure!r}; the study has "
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
    labels: Mapping[str, str] | None = None,
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
        labels: Set to what people read, for measures that take ``labels`` and are given none.
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
        claims=list(map(_claim, claims)),
        measurements={
            name: measured
            for name, node in measures.items()
            if (measured := _measure(name, node, complete, labels or {})) is not None
        },
        runs=sorted({point.run for points in runs.values() for point in points}),
    )
    session.root.mkdir(parents=True, exist_ok=True)
    write_atomically(session.root / EVIDENCE_FILE, evidence_text(evidence))


def _measure(
    name: str, node: dict[str, Any], runs: Runs, labels: Mapping[str, str]
) -> Measurement | None:
    """Return what was measured, ``None`` where the runs it needs are not there."""
    needs = node.get("needs", [])
    if any(need not in runs for need in needs):
        return None
    measure: Measure = make(_partial(node), f"study.measures.{name}")
    if "labels" in signature(measure).parameters and "labels" not in node:
        measure = partial(measure, labels=labels)
    return measure({need: runs[need] for need in needs})


def _partial(node: dict[str, Any]) -> DictConfig:
    """Return the node of a measure that waits for its runs."""
    arguments = {key: value for key, value in node.items() if key != "needs"}
    return OmegaConf.create(arguments | {"_partial_": True})


def _claim(claim: dict[str, Any]) -> NumericClaim:
    try:
        return NumericClaim(**claim)
    except TypeError as error:  # a key is missing or unknown
        raise ValueError(f"study.claims: the claim {claim}: {error}") from error
