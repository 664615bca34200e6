"""The report of a study: the answer first, then what it rests on."""

from dataclasses import replace

from losslab.report import formatting as show
from losslab.report.aggregate import TuningPoint
from losslab.report.blocks import (
    EDGE,
    PROBABILITIES,
    census_blocks,
    environment_table,
    measured_text,
    n_text,
)
from losslab.report.claims import RULE, VERDICTS
from losslab.report.document import (
    Block,
    Document,
    Heading,
    Paragraph,
    Picture,
    Table,
    names,
)
from losslab.report.evidence_report import Shown
from losslab.report.findings import ACCURACY, PROPER_SCORES, Census, Findings
from losslab.report.plan import Rate, Side
from losslab.report.steps_table import steps_table

STATISTICS = (
    "Each side's value was chosen by mean validation accuracy on the tuning seeds; everything "
    "compared was measured on fresh seeds and on the test part, where diverged runs count. "
    "Intervals are 95%, Student's t with the standard errors over seeds and over test examples "
    "together (over seeds alone for tuning and wherever marked ‡); they do not cover another "
    "training part, data set or network. p-values come from flipping the signs of the "
    "paired differences between runs of the same seed, two-sided, Holm-corrected over all claims "
    "of the study; the intervals are not corrected for the number of claims."
)
FIGURES = {
    "accuracy.png": "Test accuracy of every arm",
    "waterfall.png": "What each step adds to the accuracy",
    "accuracy_by_value.png": "Validation accuracy over the whole tuning grid",
    "learning_curves.png": "Validation accuracy while training",
    "claims.png": "Every claim's effect beside the smallest that matters",
}


def study_document(
    findings: Findings, figures: tuple[str, ...], *, shown: Shown | None = None
) -> Document:
    """Lay out a study's findings.

    Args:
        findings: What was measured.
        shown: What the study's measures show, for one that has any.
        figures: Paths relative to the report, of those in :data:`FIGURES` that were drawn.
    """
    plan = findings.plan
    pictures = {
        path.rsplit("/", 1)[-1]: Picture(path, FIGURES[path.rsplit("/", 1)[-1]]) for path in figures
    }

    def picture(name: str) -> tuple[Block, ...]:
        return (pictures[name],) if name in pictures else ()

    blocks: list[Block] = [
        Paragraph(plan.question),
        *_state(findings.census, plan.command),
        Heading("Answer"),
        _answer(findings),
        *_edges(findings),
        *picture("accuracy.png"),
        *(_steps(findings) if findings.steps else ()),
        *picture("waterfall.png"),
        Heading(f"Claims: {_count(findings, shown)}"),
        *((_claims(findings),) if findings.judgements else ()),
        *picture("claims.png"),
        Paragraph(RULE, fine_print=True),
        *(shown.blocks if shown else ()),
        *(() if plan.conditions or "own" not in plan.rates else _proper_scores(findings)),
        *picture("learning_curves.png"),
        *_tunings(findings),
        Paragraph("* chosen · † with diverged runs · k/n runs there so far", fine_print=True),
        *picture("accuracy_by_value.png"),
        Heading("Statistics", fine_print=True),
        Paragraph(STATISTICS, fine_print=True),
        Heading("Runs and machine"),
        *census_blocks(findings.census),
        environment_table(findings.environment),
        Paragraph(f"Made by `{plan.command}`.", fine_print=True),
    ]
    return Document(plan.title, tuple(blocks))


def _tunings(findings: Findings) -> tuple[Block, ...]:
    plan = findings.plan
    title = f"Tuning: {show.metric_name(plan.select)} over {plan.parameter_name}"
    if not plan.conditions:
        return Heading(title), _tuning(findings)
    blocks: list[Block] = [Heading(title, fine_print=True)]
    for name, condition in plan.conditions.items():
        table = replace(_tuning(findings.at(name)), fine_print=True)
        blocks += [Paragraph(f"{plan.axis}: {condition.label}", fine_print=True), table]
    return tuple(blocks)


def _steps(findings: Findings) -> tuple[Block, ...]:
    return Heading("Step by step"), steps_table(findings)


def _state(census: Census, command: str) -> tuple[Block, ...]:
    if census.complete:
        return ()
    there = census.done + len(census.diverged)
    return (
        Paragraph(
            f"Unfinished: {there} of {census.expected} planned runs have a result; what is missing "
            f"is named at the end. Run `{command}` to go on."
        ),
    )


def _answer(findings: Findings) -> Table:
    plan = findings.plan
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


def _edges(findings: Findings) -> tuple[Block, ...]:
    plan = findings.plan
    at_edge = [plan.label(arm) for arm, choice in findings.choices.items() if not choice.bracketed]
    if not at_edge:
        return ()
    return (
        Paragraph(
            f"At the edge of the grid: the best {plan.parameter_name} of {names(at_edge)}. "
            f"A better one may lie beyond; claims that rest on it are marked {EDGE}."
        ),
    )


def _count(findings: Findings, shown: Shown | None) -> str:
    verdicts = [judgement.verdict for judgement in findings.judgements]
    verdicts += shown.verdicts if shown else ()
    return ", ".join(f"{verdicts.count(v)} {v}" for v in VERDICTS if v in verdicts) or "none"


def _claims(findings: Findings) -> Table:
    rates = {"own": "own", "reference": "reference’s", "scaled": "reference’s, scaled"}

    def difference(left: Side, right: Side) -> str:
        names = [f"{findings.plan.label(s.arm)} ({rates[s.rate]})" for s in (left, right)]
        return " − ".join(names)

    rows = []
    for judgement in findings.judgements:
        claim, found = judgement.claim, judgement.comparison
        mark = "" if found is None or found.covers == "seeds and test examples" else " ‡"
        verdict = judgement.verdict + (f" ({judgement.reason})" if judgement.reason else "")
        verdict += f" {EDGE}" if findings.at_edge(claim) else ""
        smallest = show.number(claim.metric, claim.smallest_effect)
        rows.append(
            (
                claim.statement,
                claim.source,
                verdict,
                difference(claim.left, claim.right)
                + (f", beyond {difference(*claim.beyond)}" if claim.beyond else "")
                + f"; {show.metric_name(claim.metric)}",
                show.ABSENT if found is None else str(found.n),
                show.estimate(claim.metric, found.left if found else None),
                show.estimate(claim.metric, found.right if found else None),
                show.difference(claim.metric, found) + mark,
                f"{_PREDICTED[claim.direction]}{smallest}"
                f"{show.unit(claim.metric, difference=True)}",
                show.p_value(None if found is None else found.p),
                show.p_value(judgement.p_holm),
            )
        )
    columns = (
        "claim",
        "source",
        "verdict",
        "left − right",
        "n",
        "left",
        "right",
        "difference",
        "predicted",
        "p",
        "p (Holm)",
    )
    return Table(columns, tuple(rows), text_columns=4, terminal=(2, 0, 7, 4))


_PREDICTED = {"less": "< −", "greater": "> +", "equal": "within ±"}


def _proper_scores(findings: Findings) -> tuple[Block, ...]:
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
    return (
        Heading(f"Calibration and proper scores, each at its own {findings.plan.parameter_name}"),
        Table(columns, tuple(rows), terminal=(0, 1, 3, 4)),
        Paragraph(PROBABILITIES, fine_print=True),
    )


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
