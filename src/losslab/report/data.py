"""A report as data: what ``results.json`` holds, the same to the byte for the same runs."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from losslab.report import formatting as show
from losslab.report.aggregate import TuningPoint
from losslab.report.claims import RULE, Judgement
from losslab.report.findings import Census, Findings, FoundStep, Measured
from losslab.report.samples import Estimate
from losslab.report.sweep import Sweep
from losslab.text import printable_values

DIGITS = 6


def study_data(findings: Findings) -> dict[str, Any]:
    """Return all that a study's report says; accuracies as fractions, nothing for the unknown."""
    plan = findings.plan
    return {
        "study": plan.study,
        "title": plan.title,
        "question": plan.question,
        "command": plan.command,
        "reference": plan.reference,
        "parameter": plan.parameter,
        "select": plan.select,
        "rule": RULE,
        "probabilities": "softmax of the network's outputs for every loss",
        "axis": plan.axis or None,
        "conditions": {name: asdict(about) for name, about in plan.conditions.items()} or None,
        "steps": [_step(step) for step in findings.steps] or None,
        "arms": {name: _arm(findings, name) for name in plan.arms},
        "claims": [
            _claim(judgement) | {"at_edge": findings.at_edge(judgement.claim) or None}
            for judgement in findings.judgements
        ],
        "runs": _census(findings.census),
        "environment": findings.environment,
    }


def sweep_data(found: Sweep) -> dict[str, Any]:
    """Return all that a sweep's report says."""
    return {
        "varied": found.varied,
        "configurations": [
            {
                "group": configuration.group,
                "loss": configuration.loss,
                "varied": configuration.varied,
                "metrics": {
                    metric: _measured(measured)
                    for metric, measured in configuration.measured.items()
                },
            }
            for configuration in found.configurations
        ],
        "runs": _census(found.census),
        "environment": found.environment,
    }


def to_json(data: Mapping[str, Any]) -> str:
    """Write data with sorted keys and six significant digits, without what is unknown.

    >>> print(to_json({"b": 0.12345678, "a": None, "c": [float("nan"), 2]}))
    {
      "b": 0.123457,
      "c": [
        2
      ]
    }
    <BLANKLINE>
    """
    return (
        json.dumps(printable_values(_clean(data)), indent=2, sort_keys=True, ensure_ascii=False)
        + "\n"
    )


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items() if not _unknown(item)}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value if not _unknown(item)]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _unknown(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _arm(findings: Findings, name: str) -> dict[str, Any]:
    choice = findings.choices.get(name)
    return {
        "label": findings.plan.label(name),
        "loss": findings.plan.arms[name].loss,
        "chosen": findings.chosen(name),
        "bracketed": choice.bracketed if choice else None,
        "tuning": [_point(point) for point in findings.tuning if point.arm == name],
        "confirmed": {
            rate: {
                metric: _measured(measured)
                for (arm, at, metric), measured in findings.measured.items()
                if (arm, at) == (name, rate)
            }
            for rate in findings.plan.rates
        },
    }


def _step(found: FoundStep) -> dict[str, Any]:
    return {
        "label": found.step.label,
        **asdict(found.step.side),
        "level": None if found.level is None else asdict(found.level),
        "change": None if found.change is None else asdict(found.change),
    }


def _point(point: TuningPoint) -> dict[str, Any]:
    return {
        "value": point.value,
        "planned": point.planned,
        "n": point.n,
        "diverged": point.diverged,
        "mean": point.mean,
        "interval": point.interval,
    }


def _measured(measured: Measured) -> dict[str, Any]:
    counts = {
        "planned": measured.planned,
        "diverged": measured.diverged,
        "not_finite": measured.without,
    }
    return counts | _estimate(measured.estimate)


def _estimate(found: Estimate | None) -> dict[str, Any]:
    return {"n": 0} if found is None else asdict(found)


def _claim(judgement: Judgement) -> dict[str, Any]:
    claim, found = judgement.claim, judgement.comparison
    return {
        **asdict(claim),
        "verdict": judgement.verdict,
        "reason": judgement.reason or None,
        "p_holm": judgement.p_holm,
        "effect": show.difference(claim.metric, found),
        "n": None if found is None else found.n,
        "measured": None if found is None else asdict(found),
    }


def _census(census: Census) -> dict[str, Any]:
    return {**asdict(census), "complete": census.complete}
