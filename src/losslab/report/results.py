"""Reports as data: ``results.json``, identical to the byte for the same runs."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from losslab.report import formatting as show
from losslab.report.claims import RULE, Judgement
from losslab.report.estimates import Comparison, Measured
from losslab.report.findings import Census, Findings, Sweep
from losslab.text import printable_values

DIGITS = 6


def study_data(findings: Findings) -> dict[str, Any]:
    """Return the content of a study's ``results.json``; accuracies are fractions."""
    plan = findings.plan
    compared = {
        **{key: getattr(plan, key) for key in ("reference", "parameter", "select")},
        "tolerance": plan.tolerance or None,
        "probabilities": "softmax of the network's outputs for every loss",
        "axis": plan.axis or None,
        "conditions": {
            name: {key: value for key, value in asdict(condition).items() if value != ""}
            for name, condition in plan.conditions.items()
        }
        or None,
        "gaps": {arm: _comparison(gap) for arm, gap in findings.gaps.items()} or None,
        "arms": {name: _arm(findings, name) for name in plan.arms},
    }
    claims = (*findings.differences, *findings.quantities)
    measured = findings.measurements.values()
    return {
        **{key: getattr(plan, key) for key in ("study", "title", "question", "command")},
        "rule": RULE,
        **(compared if plan.arms else {}),
        "claims": [_claim(findings, judgement) for judgement in claims],
        "tables": [asdict(table) for each in measured for table in each.tables] or None,
        "runs": _census(findings.census),
        "environment": findings.environment,
    }


def sweep_data(sweep: Sweep) -> dict[str, Any]:
    """Return the content of a sweep's ``results.json``."""
    return {
        "varied": sweep.varied,
        "sorted_by": sweep.by,
        "best": {
            (best.loss if len(sweep.leaders) < 2 else f"{best.loss}, {best.dataset}"): best.group
            for best in sweep.best
        },
        "configurations": [
            {
                "group": configuration.group,
                "loss": configuration.loss,
                "varied": configuration.varied,
                "metrics": {tag: _measured(m) for tag, m in configuration.measured.items()},
            }
            for configuration in sweep.configurations
        ],
        "runs": _census(sweep.census),
        "environment": sweep.environment,
    }


def to_json(data: Mapping[str, Any]) -> str:
    """Return JSON with sorted keys and six significant digits; NaN, infinities, None are left out.

    >>> print(to_json({"b": 0.12345678, "a": None, "c": [float("nan"), 2]}))
    {
      "b": 0.123457,
      "c": [
        2
      ]
    }
    <BLANKLINE>
    """
    return json.dumps(plain(data), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data that :func:`to_json` writes, in the order given."""
    cleaned: dict[str, Any] = printable_values(_clean(data))
    return cleaned


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
    tuning = [asdict(point) for point in findings.tuning if point.arm == name]
    confirmed: dict[str, dict[str, Any]] = {rate: {} for rate in findings.plan.rates}
    for (arm, rate, metric), measured in findings.measured.items():
        if arm == name:
            confirmed[rate][metric] = _measured(measured)
    return {
        "label": findings.plan.label(name),
        "loss": findings.plan.arms[name].loss,
        "chosen": findings.chosen(name),
        "bracketed": choice.bracketed if choice else None,
        "rechosen": findings.rechosen.get(name),
        "tuning": [point | {"arm": None, "score": None} for point in tuning],
        "confirmed": confirmed,
    }


def _measured(measured: Measured) -> dict[str, Any]:
    data = asdict(measured)
    estimate, without = data.pop("estimate") or {"n": 0}, data.pop("without")
    return {**data, **estimate, "not_finite": without, "lost": data["lost"] or None}


def _comparison(comparison: Comparison) -> dict[str, Any]:
    data = asdict(comparison)
    return data | {"mean": None, "difference": data["mean"]}


def _claim(findings: Findings, judgement: Judgement) -> dict[str, Any]:
    claim, quantity, comparison = judgement.claim, judgement.quantity, judgement.comparison
    definition = asdict(claim)
    data = {key: definition[key] for key in ("id", "statement", "source")}
    data |= {"verdict": judgement.verdict, "reason": judgement.reason or None}
    data["p_holm"] = judgement.p_holm
    if claim.quantity:
        return {
            **data,
            "p": judgement.p,
            "effect": show.quantity(quantity),
            "predicted": show.predicted(claim.predicted),
            **(asdict(quantity) if quantity else {}),
        }
    keys = ("metric", "left", "right", "direction", "smallest_effect")
    return {
        **data,
        **{key: definition[key] for key in keys},
        "beyond": [*definition["beyond"].values()] if claim.beyond else None,
        "effect": show.difference(claim.metric, comparison),
        "n": comparison and comparison.n,
        "measured": comparison and _comparison(comparison),
        "at_edge": findings.at_edge(claim) or None,
    }


def _census(census: Census) -> dict[str, Any]:
    return {**asdict(census), "complete": census.complete}
