"""Export a sweep or a study as one table: CSV, LaTeX or JSON."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from losslab.report import formatting as show
from losslab.report.estimates import Estimate, Measured
from losslab.report.findings import METRICS, Findings, Sweep, find, sweep
from losslab.report.measurement import load_evidence
from losslab.report.plan import PLAN_FILE, Rate, load_plan
from losslab.report.results import study_data, sweep_data, to_json
from losslab.report.runs import load_runs
from losslab.report.sweep_report import key_text, value_text
from losslab.text import printable

_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    # After a rule or the end of a row, LaTeX reads [ and * as an argument.
    | {character: f"{{{character}}}" for character in "[]*"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
    }
)


@dataclass(frozen=True)
class Row:
    """A configuration, or an arm at a rate."""

    options: Mapping[str, Any]  # heading to value
    measured: Mapping[str, Measured]  # by metric
    best: bool = False  # whether it is the best of its loss by validation

    @property
    def runs(self) -> dict[str, int]:
        """The numbers of runs with the first metric, planned runs and diverged runs."""
        first = next(iter(self.measured.values()))
        n = first.estimate.n if first.estimate else 0
        return {"n": n, "planned": first.planned, "diverged": first.diverged}


@dataclass(frozen=True)
class Export:
    """The results of a folder, as rows and as data."""

    rows: Sequence[Row]
    best: str  # a note on how the best rows are marked
    data: Mapping[str, Any]  # the content of ``results.json``


def export(root: Path) -> Export:
    """Measure a sweep or a study; write nothing. ``ValueError`` if the folder holds none."""
    runs = load_runs(root)
    if (root / PLAN_FILE).exists():
        findings = find(load_plan(root), runs, load_evidence(root))
        return Export(_arms(findings), "", study_data(findings))
    if not runs:
        raise ValueError(f"{root} holds no runs; give the folder of a sweep or a study")
    ranked = sweep(runs)
    best = f"In bold: the best of each loss by {show.metric_name(ranked.by)}."
    return Export(_configurations(ranked), best, sweep_data(ranked))


def _configurations(ranked: Sweep) -> list[Row]:
    names = [key_text(key) for key in ranked.shown]
    # Two keys share a heading if a part is absent from some configurations.
    headings = {
        key: name if names.count(name) == 1 else key
        for key, name in zip(ranked.shown, names, strict=True)
    }
    rows = []
    for each in ranked.configurations:
        varied = {heading: each.varied.get(key) for key, heading in headings.items()}
        options = {"loss": each.loss, **varied, "folder": each.group}
        rows.append(Row(options, each.measured, best=each in ranked.best))
    return rows


def _arms(findings: Findings) -> list[Row]:
    """Return each arm at each rate at which it was confirmed."""
    plan, rows, absent = findings.plan, [], Measured(None, 0, 0, 0)
    for name, arm in plan.arms.items():
        for rate in plan.rates:
            measured = {m: findings.measured.get((name, rate, m), absent) for m in METRICS}
            options: dict[str, Any] = {}
            if plan.conditions:
                options[plan.axis] = plan.conditions[arm.condition].label
            options |= {
                "arm": arm.label,
                "rate": rate,
                plan.parameter: _value(findings, name, rate),
            }
            rows.append(Row(options, measured))
    return rows


def _value(findings: Findings, arm: str, rate: Rate) -> float | None:
    """Return the value at which an arm is confirmed, ``None`` if it is unknown."""
    plan = findings.plan
    reference = plan.reference_of(arm)
    if rate == "scaled" and arm != reference:
        # Only the planned runs know the arm's factor.
        runs = [run for run in plan.confirm if (run.arm, run.rate) == (arm, rate)]
        return runs[0].value if runs else None
    return findings.chosen(arm if rate == "own" else reference)


def _rows(results: Export) -> Sequence[Row]:
    if not results.rows:
        raise ValueError("a study without arms has no table; give --json")
    return results.rows


def to_csv(results: Export) -> str:
    """Return CSV with the mean and interval of each metric, empty where there is none."""
    lines = []
    for row in _rows(results):
        line = {**row.options, **({"best": row.best} if results.best else {}), **row.runs}
        for metric, measured in row.measured.items():
            estimate = measured.estimate
            low, high = (estimate and estimate.interval) or (None, None)
            mean = estimate and estimate.mean
            line |= {metric: mean, f"{metric}/low": low, f"{metric}/high": high}
        lines.append(line)
    return str(pd.DataFrame(lines).to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def to_latex(results: Export) -> str:
    r"""Return a ``tabular`` with booktabs rules: n, and each metric with its 95% interval."""
    lines, marked = [], False
    for row in _rows(results):
        bold = r"\textbf{{{}}}" if row.best else "{}"
        line = {
            latex(heading): bold.format(latex(value_text(value)))
            for heading, value in row.options.items()
            if heading != "folder"
        }
        line["$n$"] = str(row.runs["n"])
        for metric, measured in row.measured.items():
            estimate, unit = measured.estimate, show.unit(metric)
            heading = latex(show.metric_name(metric) + (f" ({unit.strip()})" if unit else ""))
            line[heading] = _number(metric, estimate)
            marked |= estimate is not None and estimate.covers == "seeds"
        lines.append(line)
    numbers = 1 + len(results.rows[0].measured)
    columns = "l" * (len(lines[0]) - numbers) + "r" * numbers
    table = pd.DataFrame(lines).to_latex(index=False, escape=False, column_format=columns)
    notes = [
        r"Needs \usepackage{booktabs}. Mean over n seeds and 95% interval, Student's t over seeds "
        "and test examples together" + (r" ($^\ddagger$: over seeds alone)." if marked else "."),
        *filter(None, [results.best]),
    ]
    if not str(table).isascii():
        notes.append("pdfLaTeX has only Latin letters; others, such as Greek ones, need LuaLaTeX.")
    return "".join(f"% {note}\n" for note in notes) + str(table)


def latex(text: str) -> str:
    r"""Escape text for LaTeX, which reads UTF-8 since 2018; letters stay as they are.

    >>> print(latex("50% of a_b"), latex("[Ä]"))
    50\% of a\_b {[}Ä{]}
    """
    if text == show.ABSENT:
        return "--"
    plain = text.replace("’", "'").replace("−", "-")
    return printable(plain).translate(_LATEX)


def _number(metric: str, estimate: Estimate | None) -> str:
    if estimate is None or not math.isfinite(estimate.mean):
        return "--"
    text = f"${show.number(metric, estimate.mean)}$"
    if estimate.interval is not None:
        text += f" ${show.interval(metric, estimate.interval)}$"
        text += r"$^\ddagger$" if estimate.covers == "seeds" else ""
    return text.replace("−", "-")


FORMATS: Mapping[str, Callable[[Export], str]] = {
    "csv": to_csv,
    "latex": to_latex,
    "json": lambda results: to_json(results.data),
}
"""Format to the function that writes it."""
