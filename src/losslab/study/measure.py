"""Measures: functions, named in a study, from finished runs to quantities, tables and figures."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any

from omegaconf import DictConfig, OmegaConf

from losslab.experiment.arguments import check_arguments
from losslab.experiment.make import make
from losslab.recording import Run, manifest, write_atomically
from losslab.report.measurement import Evidence, Measurement
from losslab.report.plan import EVIDENCE_FILE, Claim
from losslab.study.points import Session

Runs = dict[str, list[Run]]
"""Name of a set to its runs, all finished."""

Measure = Callable[..., Measurement]  # of Runs, and of labels where it takes them


def check_measures(measures: Mapping[str, Mapping[str, Any]], claims: Sequence[Claim]) -> None:
    """Raise ``ValueError`` for a wrong measure, or a claim about an unknown one."""
    for name, node in measures.items():
        check_arguments(_partial(node), f"study.measures.{name}")
    for claim in claims:
        measure = claim.quantity.partition(".")[0]
        if claim.quantity and measure not in measures:
            raise ValueError(
                f"claim {claim.id} is about the measure {measure!r}; the study has "
                f"{', '.join(measures)}"
            )


def write_evidence(
    session: Session,
    runs: Runs,
    measures: Mapping[str, Mapping[str, Any]],
    *,
    labels: Mapping[str, str],
) -> None:
    """Call the measures whose runs are finished; write ``evidence.json`` into the study's folder.

    Args:
        session: The study's.
        runs: All that the study planned; a measure whose sets are not all finished is left out.
        measures: Name to a node whose ``_target_`` takes the :data:`Runs` of its ``needs`` and
            gives a :class:`~losslab.report.measurement.Measurement`.
        labels: Set to its name in reports, for measures that take ``labels`` and are given none.
    """
    complete = {
        name: members
        for name, members in runs.items()
        if members and all(run.finished for run in members)
    }
    evidence = Evidence(
        measurements={
            name: measured
            for name, node in measures.items()
            if (measured := _measure(name, node, complete, labels)) is not None
        },
        manifest=manifest(command=session.command, device="cpu", threads=1, choices={}),
    )
    session.root.mkdir(parents=True, exist_ok=True)
    write_atomically(session.root / EVIDENCE_FILE, evidence.text())


def _measure(
    name: str, node: Mapping[str, Any], runs: Runs, labels: Mapping[str, str]
) -> Measurement | None:
    """Return what was measured, ``None`` if runs that it needs are missing."""
    needs = node.get("needs", [])
    if any(need not in runs for need in needs):
        return None
    measure: Measure = make(_partial(node), f"study.measures.{name}")
    if "labels" in signature(measure).parameters and "labels" not in node:
        measure = partial(measure, labels=labels)
    return measure({need: runs[need] for need in needs})


def _partial(node: Mapping[str, Any]) -> DictConfig:
    """Return the node of a measure that waits for its runs."""
    arguments = {key: value for key, value in node.items() if key != "needs"}
    return OmegaConf.create(arguments | {"_partial_": True})
