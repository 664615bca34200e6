"""The report of a study: the answer first, then the evidence."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from losslab.report import formatting as show
from losslab.report.claims import RULE, VERDICTS
from losslab.report.document import Document, Table
from losslab.report.estimates import DRAWS, Measured
from losslab.report.findings import ACCURACY, PROPER_SCORES, Census, Findings
from losslab.report.plan import Rate, in_condition, parameter_name
from losslab.report.results import plain, study_data
from losslab.report.statistics import Interval
from losslab.report.universes import by_mean

EDGE = "§"  # marks a claim that rests on a best value at the edge of its grid
_MOST_ARMS = 8  # in the sentence of the answer


def study_document(findings: Findings, figures: Collection[str]) -> Document:
    """Lay out a study's findings; ``figures`` are the names of the files that were drawn."""
    plan = findings.plan
    edges = [plan.label(arm) for arm, choice in findings.choices.items() if not choice.bracketed]
    # Figures show many conditions.
    has_arms = plan.arms and not plan.conditions
    return Document(
        "study",
        {
            "plan": plan,
            "sentence": sentence(plain(study_data(findings))),
            "answer": _answer(findings) if plan.arms else None,
            "edges": "; ".join(edges),
            "edge": EDGE,
            "gaps": _gaps(findings) if findings.gaps and plan.conditions else None,
            "count": count([judgement.verdict for judgement in findings.judgements]),
            "claims": _claims(findings) if findings.judgements else None,
            "details": _details(findings),
            "rule": RULE,
            "discussed": [j for j in findings.quantities if j.claim.discussion],
            "measurements": list(findings.measurements.values()),
            "as_table": lambda table: Table(tuple(table.columns), tuple(map(tuple, table.rows))),
            "proper_scores": _proper_scores(findings) if has_arms and "own" in plan.rates else None,
            "draws": f"{DRAWS:,}",
            "select": show.metric_name(plan.common_select),
            "given": [f"{plan.label(arm)} at {value:g}" for arm, value in plan.given.items()],
            "tuning": _tuning(findings) if has_arms else None,
            **runs_and_machine(findings.census, findings.environment, figures),
        },
    )


def runs_and_machine(
    census: Census, environment: Mapping[str, tuple[str, ...]], figures: Collection[str]
) -> dict[str, Any]:
    """Return the content that all reports share: runs by state, and the machine."""
    listed = {
        "diverged": census.diverged,
        "failed": census.failed,
        "damaged": census.damaged,
        "running or interrupted": census.running,
        "missing": census.missing,
    }
    rows = tuple((key, "; ".join(values)) for key, values in environment.items())
    return {
        "census": census,
        "census_lines": [f"{state}: {name}" for state, group in listed.items() for name in group],
        "environment": Table(("", "of the runs"), rows, text_columns=2),
        "figures": figures,
    }


def sentence(results: Mapping[str, Any]) -> str:
    """Return the answer in one sentence, from the content of ``results.json``.

    It says how far each arm is from the reference, each at its own best value; or, without arms,
    how many claims have which verdict.
    """
    gaps, arms = results.get("gaps", {}), results.get("arms", {})
    conditions = results.get("conditions", {})
    if any(condition.get("choices") for condition in conditions.values()):
        counts = by_mean(gap["difference"] for gap in gaps.values())
        name, condition = next(iter(conditions.items()))
        label = arms[in_condition(results["reference"], name)]["label"]
        reference = label.removesuffix(f", {condition['label']}")
        return (
            f"Of {len(gaps)} universes {reference} is ahead by a "
            f"point of test accuracy in {counts['ahead']}, level within one in {counts['level']} "
            f"and behind in {counts['behind']}."
        )
    # Keys of results.json are sorted by name.
    positions = {name: each.get("position") or 0.0 for name, each in conditions.items()}
    last = max(reversed(positions), key=positions.__getitem__, default="")
    ending = f", {conditions[last]['label']}" if last else ""
    shown = [(name, gap) for name, gap in gaps.items() if name.partition("@")[2] == last]
    if many := len(shown) > _MOST_ARMS:
        shown.sort(key=lambda item: -item[1]["difference"])
        shown = shown[:3] + shown[-3:]
    parts = []
    for name, gap in shown:
        interval = Interval(*gap["interval"]) if gap.get("interval") else None
        difference = show.signed(ACCURACY, gap["difference"], interval)
        parts.append(f"{arms[name]['label'].removesuffix(ending)} {difference}")
    if not parts:
        return f"Claims: {count([claim['verdict'] for claim in results['claims']])}."
    reference = arms[in_condition(results["reference"], last)]["label"].removesuffix(ending)
    at = f" ({results['axis']}: {conditions[last]['label']})" if last else ""
    own = f"each at its own best {parameter_name(results.get('parameter', ''))}"
    most = ", the three most ahead and behind" if many else ""
    return f"Test accuracy minus that of {reference}, {own}{at}{most}: {'; '.join(parts)}."


def count(verdicts: Sequence[str]) -> str:
    """Count verdicts, ``2 supported, 1 contradicted``."""
    return ", ".join(f"{verdicts.count(v)} {v}" for v in VERDICTS if v in verdicts) or "none"


def measured_text(metric: str, measured: Measured) -> str:
    """Return an estimate with its interval, or the reason why there is none."""
    if measured.estimate is None and measured.without:
        return "not finite"
    return show.estimate(metric, measured.estimate) + show.mark(measured.estimate)


def n_text(measured: Measured) -> str:
    """Return the number of runs, with those that are missing, diverged or lost a class."""
    n = measured.estimate.n if measured.estimate else 0
    text = f"{n}" if n == measured.planned else f"{n} of {measured.planned}"
    if measured.without:
        text += f", {measured.without} not finite"
    if measured.lost:
        kept = show.number(ACCURACY, measured.given_success.mean) if measured.given_success else ""
        text += f", {len(measured.lost)} lost a class" + (f" (the others: {kept})" if kept else "")
    return f"{text}, {measured.diverged} diverged" if measured.diverged else text


def _answer(findings: Findings) -> Table:
    plan = findings.plan
    reference = findings.chosen(plan.reference)
    at = f" ({reference:g})" if reference is not None and not plan.conditions else ""
    best = f"{plan.reference_parameter}{at}"
    headings: dict[Rate, tuple[str, ...]] = {
        "reference": (f"test accuracy at {best}", "n"),
        "scaled": (f"at its multiple of {best}", "n"),
        "own": (f"own best {plan.parameter_name}", "test accuracy there", "n"),
    }
    rows = []
    for name, arm in plan.arms.items():
        condition, value = plan.conditions.get(arm.condition), findings.chosen(name)
        cells = [arm.label] if condition is None else [condition.label, arm.label]
        for rate in plan.rates:
            measured = findings.measured[name, rate, ACCURACY]
            if rate == "own":
                cells.append(show.ABSENT if value is None else f"{value:g}")
            cells += [measured_text(ACCURACY, measured), n_text(measured)]
        rows.append(tuple(cells))
    first = (plan.axis, "") if plan.conditions else ("",)
    columns = (*first, *(heading for rate in plan.rates for heading in headings[rate]))
    # Three rates with their n are too wide for 80 columns, as are conditions with lost classes.
    wide = len(plan.rates) > 2 or plan.conditions
    left_out = ("n", headings["own"][0]) if plan.conditions else ("n",)
    narrow = [i for i, name in enumerate(columns) if wide and name not in left_out]
    return Table(columns, tuple(rows), text_columns=len(first), terminal=tuple(narrow))


def _gaps(findings: Findings) -> Table:
    """Return the difference of every arm from the reference, one row for each condition."""
    plan, rows, brief = findings.plan, [], []
    for name, condition in plan.conditions.items():
        row = {plan.axis: condition.label}
        for family, arm in plan.families.items():
            if family != plan.reference:
                gap = findings.gaps.get(in_condition(family, name))
                row[arm.label] = show.difference(ACCURACY, gap) + show.mark(gap)
        rows.append(row)
        _, *cells = row.values()
        brief.append((condition.label, *(cell.partition(" [")[0] for cell in cells)))
    return replace(Table.of(rows), brief=tuple(brief))


def _claims(findings: Findings) -> Table:
    rows = []
    for judgement in findings.judgements:
        claim, quantity = judgement.claim, judgement.quantity
        row = {"claim": claim.statement, "verdict": judgement.verdict}
        row["verdict"] += f" ({judgement.reason})" if judgement.reason else ""
        row["verdict"] += f" {EDGE}" if findings.at_edge(claim) else ""
        if claim.quantity:
            row["measured"] = show.quantity(quantity)
            row["predicted"] = show.predicted(claim.predicted)
            row["n"] = str(quantity.n) if quantity else ""
        else:
            difference = judgement.comparison
            row["measured"] = show.difference(claim.metric, difference) + show.mark(difference)
            row["predicted"] = show.predicted_difference(
                claim.metric, str(claim.direction), claim.smallest_effect
            )
            row["n"] = str(difference.n) if difference else show.ABSENT
        rows.append(row)
    return Table.of(rows, text_columns=2, terminal=["verdict", "claim", "measured", "n"])


def _details(findings: Findings) -> list[str]:
    """Return one line for each claim: what was compared or measured, p-values and source."""
    lines = []
    for judgement in findings.judgements:
        claim, quantity, difference = judgement.claim, judgement.quantity, judgement.comparison
        if claim.quantity:
            parts = [quantity.what if quantity else f"{claim.quantity}: missing"]
        else:
            parts = [show.compared(claim.metric, claim.sides, findings.plan.label)]
        if difference:
            means = (difference.left, difference.right)
            parts.append(" and ".join(show.estimate(claim.metric, mean) for mean in means))
        if judgement.p is not None:
            parts.append(f"p {show.p_value(judgement.p)}, Holm {show.p_value(judgement.p_holm)}")
        if claim.source:
            parts.append(f"source: {claim.source}")
        lines.append(f"{claim.id}: {'; '.join(parts)}")
    return lines


def _proper_scores(findings: Findings) -> Table:
    rows = []
    for name, arm in findings.plan.arms.items():
        measured = {tag: findings.measured[name, "own", tag] for tag in PROPER_SCORES}
        scores = {show.metric_name(tag): measured_text(tag, measured[tag]) for tag in measured}
        rows.append({"": arm.label} | scores | {"n": n_text(measured[PROPER_SCORES[0]])})
    # All four are too wide for 80 columns.
    return Table.of(rows, terminal=["", "test NLL", "test ECE", "n"])


def _tuning(findings: Findings) -> Table:
    plan = findings.plan
    points = {(point.arm, point.value): point for point in findings.tuning}
    values = sorted({value for _, value in points})
    rows, brief = [], []
    for name, arm in plan.arms.items():
        row, short = [arm.label], [arm.label]
        for value in values:
            point = points.get((name, value))
            mean = interval = marks = ""
            if point:
                mean = show.ABSENT if point.mean is None else show.number(plan.select, point.mean)
                interval = f" {show.interval(plan.select, point.interval)}" * bool(point.interval)
                marks = "†" * bool(point.diverged) + "*" * (value == findings.chosen(name))
                marks += f" {point.n}/{point.planned}" * (point.n < point.planned)
            row.append(mean + interval + marks)
            short.append(mean + marks)
        rows.append(tuple(row))
        brief.append(tuple(short))
    unit = show.unit(plan.select).strip()
    seeds = max((point.planned for point in findings.tuning), default=0)
    first = f"{plan.parameter_name} → ({unit}, n = {seeds} each)"
    return Table((first, *(f"{value:g}" for value in values)), tuple(rows), brief=tuple(brief))
