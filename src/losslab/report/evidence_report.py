"""The report of a demonstration: claims about numbers, with figures and tables."""

from dataclasses import dataclass
from typing import Any

from losslab.report.blocks import census_blocks, environment_table
from losslab.report.claims import Verdict
from losslab.report.document import Block, Document, Heading, Paragraph, Picture, Table
from losslab.report.evidence import RULE, Evidence, NumericJudgement, Quantity
from losslab.report.findings import Census

_NOT_ENVIRONMENT = ("command", "choices", "start", "end")


@dataclass(frozen=True)
class Shown:
    """What the measures of a comparison show, for its report.

    Attributes:
        blocks: Claims about numbers, what follows from them, figures and tables.
        verdicts: Of the claims, in their order.
        data: The claims, as ``results.json`` holds them.
    """

    blocks: tuple[Block, ...]
    verdicts: tuple[Verdict, ...]
    data: tuple[dict[str, Any], ...]


def show_evidence(evidence: Evidence, judgements: list[NumericJudgement]) -> Shown:
    """Return what the measures show."""
    heading = [Heading("Claims about single numbers")] if judgements else []
    return Shown(
        blocks=(*heading, *_findings(evidence, judgements)),
        verdicts=tuple(judgement.verdict for judgement in judgements),
        data=tuple(map(_claim, judgements)),
    )


def evidence_document(
    evidence: Evidence, judgements: list[NumericJudgement], census: Census
) -> Document:
    """Lay out the findings."""
    about = {
        key: (str(value),)
        for key, value in evidence.manifest.items()
        if key not in _NOT_ENVIRONMENT
    }
    blocks: list[Block] = [
        Paragraph(evidence.question),
        Heading("Claims"),
        *_findings(evidence, judgements),
        Heading("Runs and machine"),
        *census_blocks(census),
        environment_table(about),
        Paragraph(f"Made by `{evidence.command}`.", fine_print=True),
    ]
    return Document(evidence.title, tuple(blocks))


def _findings(evidence: Evidence, judgements: list[NumericJudgement]) -> list[Block]:
    blocks: list[Block] = []
    if judgements:
        blocks = [
            Table(
                (
                    *("id", "claim", "source", "verdict", "what was measured"),
                    *("measured", "n", "predicted"),
                ),
                tuple(_row(judgement) for judgement in judgements),
                text_columns=5,
                terminal=(3, 1, 5),
            ),
            Paragraph(RULE, fine_print=True),
        ]
    discussed = [j for j in judgements if j.claim.discussion]
    if discussed:
        blocks.append(Heading("What follows", fine_print=True))
        blocks += [
            Paragraph(f"**{j.claim.id}** ({j.verdict}). {j.claim.discussion}", fine_print=True)
            for j in discussed
        ]
    for measurement in evidence.measurements.values():
        for drawing in measurement.drawings:
            blocks += [Picture(f"figures/{drawing.name}.png", drawing.caption)]
        for table in measurement.tables:
            blocks += [
                Heading(table.title),
                Table(tuple(table.columns), tuple(map(tuple, table.rows))),
            ]
    return blocks


def evidence_data(
    evidence: Evidence, judgements: list[NumericJudgement], census: Census
) -> dict[str, Any]:
    """Return what ``results.json`` holds."""
    return {
        "study": evidence.study,
        "title": evidence.title,
        "question": evidence.question,
        "command": evidence.command,
        "rule": RULE,
        "claims": [_claim(judgement) for judgement in judgements],
        "runs": {"expected": census.expected, "done": census.done},
        "environment": {k: v for k, v in evidence.manifest.items() if k not in _NOT_ENVIRONMENT},
    }


def measured(quantity: Quantity | None) -> str:
    """Return a number with its interval.

    >>> measured(Quantity(value=0.5, low=0.25, high=0.75, n=5, what=""))
    '0.5 [0.25, 0.75]'
    """
    if quantity is None:
        return "missing"
    if quantity.low is None or quantity.high is None:  # computed, not sampled
        return f"{quantity.value:.4g}"
    return f"{quantity.value:.3g} [{quantity.low:.3g}, {quantity.high:.3g}]"


def predicted(at_least: float | None, at_most: float | None) -> str:
    """Return a range in words."""
    if at_least is None:
        return f"at most {at_most:g}"
    if at_most is None:
        return f"at least {at_least:g}"
    return f"{at_least:g} to {at_most:g}"


def _row(judgement: NumericJudgement) -> tuple[str, ...]:
    claim, quantity = judgement.claim, judgement.quantity
    return (
        claim.id,
        claim.statement,
        claim.source,
        judgement.verdict,
        "" if quantity is None else quantity.what,
        measured(quantity),
        "" if quantity is None else str(quantity.n),
        predicted(claim.at_least, claim.at_most),
    )


def _claim(judgement: NumericJudgement) -> dict[str, Any]:
    claim, quantity = judgement.claim, judgement.quantity
    return {
        "id": claim.id,
        "statement": claim.statement,
        "source": claim.source,
        "verdict": judgement.verdict,
        "effect": measured(quantity),
        "n": None if quantity is None else quantity.n,
        "value": None if quantity is None else quantity.value,
        "low": None if quantity is None else quantity.low,
        "high": None if quantity is None else quantity.high,
        "predicted": predicted(claim.at_least, claim.at_most),
        "what": None if quantity is None else quantity.what,
    }
