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
from losslab.report.plan import PLAN_FILE, load_plan
from losslab.report.results import study_data, sweep_data, to_json
from losslab.report.runs import load_runs
from losslab.report.sweep_report import key_text, value_text

_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    # A rule or the end of a row would read [ and * as an argument.
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

    about: Mapping[str, Any]  # heading to value
    measured: Mapping[str, Measured]  # by metric
    best: bool  # whether it is the best of its loss by validation


@dataclass(frozen=True)
class Export:
    """The results of a folder, as rows and as data."""

    rows: Sequence[Row]
    metrics: Sequence[str]
    best: str  # a note on how the best rows are marked
    data: Mapping[str, Any]  # the content of ``results.json``


def export(root: Path) -> Export:
    """Measure a sweep or a study; write nothing. ``ValueError`` if the folder holds none."""
    runs = load_runs(root)
    if (root / PLAN_FILE).exists():
        found = find(load_plan(root), runs, load_evidence(root))
        return Export(_arms(found), METRICS, "", study_data(found))
    if not runs:
        raise ValueError(f"{root} holds no runs; give the folder of a sweep or a study")
    swept = sweep(runs)
    best = f"In bold: the best of each loss by {show.metric_name(swept.by)}."
    return Export(_configurations(swept), [swept.by, *METRICS], best, sweep_data(swept))


def _configurations(found: Sweep) -> list[Row]:
    texts = [key_text(key) for key in found.shown]
    # Two keys share a heading if a part is absent from some configurations.
    headings = {
        key: text if texts.count(text) == 1 else key
        for key, text in zip(found.shown, texts, strict=True)
    }
    rows = []
    for each in found.configurations:
        varied = {heading: each.varied.get(key) for key, heading in headings.items()}
        about = {"loss": each.loss, **varied, "folder": each.group}
        rows.append(Row(about, each.measured, each in found.best))
    return rows


def _arms(found: Findings) -> list[Row]:
    """Return each arm at each rate at which it was confirmed."""
    plan, rows = found.plan, []
    for arm, described in plan.arms.items():
        for rate in plan.rates:
            keys = {metric: (arm, rate, metric) for metric in METRICS}
            measured = {m: found.measured[key] for m, key in keys.items() if key in found.measured}
            about: dict[str, Any] = {}
            if plan.conditions:
                about[plan.axis] = plan.conditions[described.condition].label
            value = found.chosen(arm) if rate == "own" else None
            about |= {"arm": described.label, "rate": rate, plan.parameter: value}
            rows.append(Row(about, measured, best=False))
    return rows


def _rows(found: Export) -> Sequence[Row]:
    if not found.rows:
        raise ValueError("a study without arms has no table of them; give --json")
    return found.rows


def to_csv(found: Export) -> str:
    """Return CSV with the mean and interval of each metric, empty where there is none."""
    lines = []
    for row in _rows(found):
        first = next(iter(row.measured.values()))
        line = {
            **row.about,
            **({"best": row.best} if found.best else {}),
            "n": first.estimate.n if first.estimate else 0,
            "planned": first.planned,
            "diverged": first.diverged,
        }
        for metric in found.metrics:
            estimate = row.measured[metric].estimate if metric in row.measured else None
            bounds = (estimate and estimate.interval) or (None, None)
            line[metric] = estimate and estimate.mean
            line |= {f"{metric}/low": bounds[0], f"{metric}/high": bounds[1]}
        lines.append(line)
    return str(pd.DataFrame(lines).to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def to_latex(found: Export) -> str:
    r"""Return a ``tabular`` with booktabs rules: n, and each metric with its 95% interval."""
    lines, marked = [], False
    for row in _rows(found):
        first = next(iter(row.measured.values()))
        about = {key: latex(value_text(v)) for key, v in row.about.items() if key != "folder"}
        shown = r"\textbf{{{}}}" if row.best else "{}"
        line = {latex(key): shown.format(text) for key, text in about.items()}
        line["$n$"] = str(first.estimate.n if first.estimate else 0)
        for metric in found.metrics:
            estimate = row.measured[metric].estimate if metric in row.measured else None
            unit = show.unit(metric)
            name = latex(show.metric_name(metric) + (f" ({unit.strip()})" if unit else ""))
            line[name] = _number(metric, estimate)
            marked |= estimate is not None and estimate.covers == "seeds"
        lines.append(line)
    table = pd.DataFrame(lines)
    numbers = len(found.metrics) + 1
    kinds = "l" * (len(table.columns) - numbers) + "r" * numbers
    drawn = table.to_latex(index=False, escape=False, column_format=kinds)
    notes = [
        r"Needs \usepackage{booktabs}. Mean over n seeds and 95% interval, Student's t over seeds "
        "and test examples together" + (r" ($^\ddagger$: over seeds alone)." if marked else "."),
        *filter(None, [found.best]),
    ]
    return "".join(f"% {note}\n" for note in notes) + str(drawn)


def latex(text: str) -> str:
    r"""Escape text for LaTeX; characters beyond ASCII are spelled out.

    >>> print(latex("50% of a_b"), latex("[σ]"))
    50\% of a\_b {[}\textbackslash{}u03c3{]}
    """
    if text == show.ABSENT:
        return "--"
    plain = text.replace("’", "'").replace("−", "-")
    return plain.encode("ascii", "backslashreplace").decode().translate(_LATEX)


def _number(metric: str, found: Estimate | None) -> str:
    if found is None or not math.isfinite(found.mean):
        return "--"
    text = f"${show.number(metric, found.mean)}$"
    if found.interval is not None:
        text += f" ${show.interval(metric, found.interval)}$"
    text += r"$^\ddagger$" if found.covers == "seeds" and found.interval is not None else ""
    return text.replace("−", "-")


FORMATS: Mapping[str, Callable[[Export], str]] = {
    "csv": to_csv,
    "latex": to_latex,
    "json": lambda found: to_json(found.data),
}
"""Format to the function that writes it."""
