"""The report of a study: the answer first, then what it rests on."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from losslab.report import formatting as show
from losslab.report.claims import RULE, VERDICTS, Judgement
from losslab.report.document import Document, Table
from losslab.report.estimates import Measured
from losslab.report.findings import ACCURACY, PROPER_SCORES, Census, Findings
from losslab.report.measurement import TableOfNumbers
from losslab.report.plan import Rate, Side
from losslab.report.sources import citation
from losslab.report.tuning import TuningPoint

EDGE = "§"
"""Marks a claim that rests on a best value at the edge of its grid."""


def study_document(findings: Findings, figures: Collection[str] = ()) -> Document:
    """Lay out a study's findings.

    Args:
        findings: What was measured.
        figures: File names of the figures of the study that were drawn.
    """
    plan = findings.plan
    edges = [plan.label(arm) for arm, choice in findings.choices.items() if not choice.bracketed]
    parts = (
        {condition.label: findings.at(name) for name, condition in plan.conditions.items()}
        if plan.conditions
        else {"": findings}
    )
    scores = plan.arms and not plan.conditions and "own" in plan.rates
    return Document(
        "study",
        {
            "plan": plan,
            "answer": _answer(findings),
            "edges": names(edges),
            "edge": EDGE,
            "steps": _steps(findings) if findings.steps else None,
            "count": count([judgement.verdict for judgement in findings.judgements]),
            "differences": _differences(findings) if findings.differences else None,
            "quantities": _quantities(findings.quantities) if findings.quantities else None,
            "rule": RULE,
            "discussed": [j for j in findings.quantities if j.claim.discussion],
            "measurements": list(findings.measurements.values()),
            "as_table": _as_table,
            "proper_scores": _proper_scores(findings) if scores else None,
            "select": show.metric_name(plan.select),
            "tunings": [(label, _tuning(part)) for label, part in parts.items()] * bool(plan.arms),
            **runs_and_machine(findings.census, findings.environment, figures),
        },
    )


def runs_and_machine(
    census: Census, environment: Mapping[str, tuple[str, ...]], figures: Collection[str]
) -> dict[str, Any]:
    """Return what every report has: runs by state, all that are not done, and the machine."""
    listed = {
        "diverged": census.diverged,
        "failed": census.failed,
        "damaged": census.damaged,
        "running or interrupted": census.running,
        "missing": census.missing,
    }
    rows = tuple((key, "; ".join(values)) for key, values in environment.items())

    def drawn(name: str, caption: str, figure: Any) -> Any:
        return figure(f"figures/{name}", caption) if name in figures else ""

    return {
        "census": census,
        "census_lines": [f"{state}: {name}" for state, group in listed.items() for name in group],
        "environment": Table(("", "of the runs"), rows, text_columns=2),
        "drawn": drawn,
    }


def names(items: Sequence[str]) -> str:
    """Join names as a sentence does.

    >>> names(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def count(verdicts: Sequence[str]) -> str:
    """Count verdicts.

    >>> count(["supported", "contradicted", "supported"])
    '2 supported, 1 contradicted'
    """
    return ", ".join(f"{verdicts.count(v)} {v}" for v in VERDICTS if v in verdicts) or "none"


def measured_text(metric: str, measured: Measured) -> str:
    """Return an estimate with its interval, or why there is none."""
    found = measured.estimate
    if found is None:
        return "not finite" if measured.without else show.ABSENT
    mark = "" if found.covers == "seeds and test examples" else " ‡"
    return show.estimate(metric, found) + mark


def n_text(measured: Measured) -> str:
    """Return how many runs count, of how many if not all, and how many of them diverged."""
    n = measured.estimate.n if measured.estimate else 0
    text = f"{n}" if n == measured.planned else f"{n} of {measured.planned}"
    if measured.without:
        text += f", {measured.without} not finite"
    return f"{text}, {measured.diverged} diverged" if measured.diverged else text


def _answer(findings: Findings) -> Table:
    plan = findings.plan
    if not plan.arms:
        return Table((), ())
    reference = findings.chosen(plan.reference)
    at = f" ({reference:g})" if reference is not None and not plan.conditions else ""
    best = f"{plan.reference_label}'s best {plan.parameter_name}{at}"
    headings: dict[Rate, tuple[str, ...]] = {
        "reference": (f"test accuracy at {best}", "n"),
        "scaled": (f"at its multiple of {best}", "n"),
        "own": (f"own best {plan.parameter_name}", "test accuracy there", "n"),
    }
    rows = []
    for arm, described in plan.arms.items():
        condition = plan.conditions.get(described.condition)
        cells = [described.label] if condition is None else [condition.label, described.label]
        for rate in plan.rates:
            there = findings.measured[arm, rate, ACCURACY]
            if rate == "own":
                value = findings.chosen(arm)
                cells.append(show.ABSENT if value is None else f"{value:g}")
            cells += [measured_text(ACCURACY, there), n_text(there)]
        rows.append(tuple(cells))
    first = (plan.axis, "") if plan.conditions else ("",)
    columns = (*first, *(heading for rate in plan.rates for heading in headings[rate]))
    # Three rates with their n are too wide for 80 columns.
    wide = len(plan.rates) > 2
    narrow = [index for index, name in enumerate(columns) if name != "n"] if wide else []
    return Table(columns, tuple(rows), text_columns=len(first), terminal=tuple(narrow))


def _steps(findings: Findings) -> Table:
    rows = [
        (
            found.step.label,
            f"{findings.plan.label(found.step.arm)} ({found.step.rate})",
            show.estimate(ACCURACY, found.level),
            show.difference(ACCURACY, found.change) if found.change else "",
            show.p_value(found.change.p) if found.change else "",
            str(found.level.n) if found.level else show.ABSENT,
        )
        for found in findings.steps
    ]
    columns = ("step", "side", "test accuracy", "change from the row above", "p", "n")
    return Table(columns, tuple(rows), text_columns=2, terminal=(0, 2, 3, 5))


def _differences(findings: Findings) -> Table:
    columns = (
        *("claim", "source", "verdict", "left − right", "n", "left", "right"),
        *("difference", "predicted", "p", "p (Holm)"),
    )
    rows = tuple(_difference(findings, judgement) for judgement in findings.differences)
    return Table(columns, rows, text_columns=4, terminal=(2, 0, 7, 4))


_RATES = {"own": "own", "reference": "reference’s", "scaled": "reference’s, scaled"}
_PREDICTED: dict[str | None, str] = {"less": "< −", "greater": "> +", "equal": "within ±"}


def _difference(findings: Findings, judgement: Judgement) -> tuple[str, ...]:
    claim, found = judgement.claim, judgement.comparison

    def sides(pair: Sequence[Side]) -> str:
        return " − ".join(f"{findings.plan.label(s.arm)} ({_RATES[s.rate]})" for s in pair)

    mark = "" if found is None or found.covers == "seeds and test examples" else " ‡"
    return (
        claim.statement,
        citation(claim.source),
        _verdict(judgement) + (f" {EDGE}" if findings.at_edge(claim) else ""),
        sides(claim.sides[:2])
        + (f", beyond {sides(claim.sides[2:])}" if claim.beyond else "")
        + f"; {show.metric_name(claim.metric)}",
        show.ABSENT if found is None else str(found.n),
        show.estimate(claim.metric, found.left if found else None),
        show.estimate(claim.metric, found.right if found else None),
        show.difference(claim.metric, found) + mark,
        f"{_PREDICTED[claim.direction]}{show.number(claim.metric, claim.smallest_effect)}"
        f"{show.unit(claim.metric, difference=True)}",
        show.p_value(judgement.p),
        show.p_value(judgement.p_holm),
    )


def _verdict(judgement: Judgement) -> str:
    return judgement.verdict + (f" ({judgement.reason})" if judgement.reason else "")


def _quantities(judgements: Sequence[Judgement]) -> Table:
    columns = (
        *("id", "claim", "source", "verdict", "what was measured"),
        *("measured", "n", "predicted", "p (Holm)"),
    )
    rows = tuple(
        (
            judgement.claim.id,
            judgement.claim.statement,
            citation(judgement.claim.source),
            _verdict(judgement),
            judgement.quantity.what if judgement.quantity else "",
            show.quantity(judgement.quantity),
            str(judgement.quantity.n) if judgement.quantity else "",
            show.predicted(judgement.claim.predicted),
            show.p_value(judgement.p_holm),
        )
        for judgement in judgements
    )
    return Table(columns, rows, text_columns=5, terminal=(3, 1, 5))


def _as_table(table: TableOfNumbers) -> Table:
    return Table(tuple(table.columns), tuple(map(tuple, table.rows)))


def _proper_scores(findings: Findings) -> Table:
    rows = [
        (
            described.label,
            *(measured_text(tag, findings.measured[arm, "own", tag]) for tag in PROPER_SCORES),
            n_text(findings.measured[arm, "own", PROPER_SCORES[0]]),
        )
        for arm, described in findings.plan.arms.items()
    ]
    columns = ("", *(show.metric_name(tag) for tag in PROPER_SCORES), "n")
    # All four are too wide for 80 columns.
    return Table(columns, tuple(rows), terminal=(0, 1, 3, 4))


def _tuning(findings: Findings) -> Table:
    plan = findings.plan
    values = sorted({point.value for point in findings.tuning})
    points = {(point.arm, point.value): point for point in findings.tuning}
    rows: list[tuple[str, ...]] = []
    brief: list[tuple[str, ...]] = []
    for arm, described in plan.arms.items():
        mine = [points.get((arm, value)) for value in values]
        chosen = findings.chosen(arm)
        for table, intervals in ((rows, True), (brief, False)):
            cells = [_cell(plan.select, point, chosen, interval=intervals) for point in mine]
            table.append((described.label, *cells))
    unit = show.unit(plan.select).strip()
    seeds = max((point.planned for point in findings.tuning), default=0)
    first = f"{plan.parameter_name} → ({unit}, n = {seeds} each)"
    return Table((first, *(f"{v:g}" for v in values)), tuple(rows), brief=tuple(brief))


def _cell(metric: str, point: TuningPoint | None, chosen: float | None, *, interval: bool) -> str:
    if point is None:
        return ""
    text = show.ABSENT if point.mean is None else show.number(metric, point.mean)
    if interval and point.interval is not None:
        text += f" {show.interval(metric, point.interval)}"
    text += "†" if point.diverged else ""
    text += "*" if point.value == chosen else ""
    return text + (f" {point.n}/{point.planned}" if point.n < point.planned else "")
