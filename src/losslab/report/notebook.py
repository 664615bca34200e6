"""The page of all claims of all studies, from their committed results."""

import json
from pathlib import Path
from typing import Any

from losslab.report.blocks import EDGE, EDGE_NOTE
from losslab.report.claims import VERDICTS
from losslab.report.document import Block, Document, Heading, Listing, Paragraph, Table, to_markdown

PAGE = "README.md"


def is_notebook(folder: Path) -> bool:
    """Return whether a folder holds reports of studies, rather than runs."""
    return any(folder.glob("*/results.json"))


def write_notebook(folder: Path) -> Path:
    """Write :func:`notebook` into the folder; return the file."""
    page = folder / PAGE
    page.write_text(notebook(folder), encoding="utf-8")
    return page


def notebook(folder: Path) -> str:
    """Return the page for a folder of studies, each with its ``results.json``.

    Raises:
        ValueError: No results there, or a file that cannot be read.
    """
    found = []
    for path in sorted(folder.glob("*/results.json")):
        try:
            found.append((path.parent.name, json.loads(path.read_text(encoding="utf-8"))))
        except ValueError as error:
            raise ValueError(
                f"{path} cannot be read ({error}); write it again with "
                f"`losslab report outputs/{path.parent.name} --to {path.parent}`"
            ) from error
    if not found:
        raise ValueError(
            f"{folder} holds no results; write some with `losslab report outputs/NAME --to "
            f"{folder}/NAME`"
        )
    blocks: list[Block] = [
        Paragraph(
            "Every claim of every study, with its measured verdict. Generated from the committed "
            "results by `losslab report experiments`; a claim that fails stays. Each folder has "
            "the question, the full report and the figures."
        ),
        Listing(tuple(_about(name, results) for name, results in found)),
    ]
    for name, results in found:
        claims = results["claims"]
        blocks += [
            Heading(results["title"]),
            Paragraph(f"`{results['command']}` · [{name}]({name}/README.md) · {_count(claims)}"),
            _table(claims),
        ]
    if any(claim.get("at_edge") for _, results in found for claim in results["claims"]):
        blocks.append(Paragraph(EDGE_NOTE))
    return to_markdown(Document("The lab notebook", tuple(blocks)))


def _about(name: str, results: dict[str, Any]) -> str:
    return f"[{results['title']}]({name}/README.md) {results['question']}"


def _count(claims: list[dict[str, Any]]) -> str:
    counts = {v: sum(claim["verdict"] == v for claim in claims) for v in VERDICTS}
    return ", ".join(f"{number} {verdict}" for verdict, number in counts.items() if number)


def _table(claims: list[dict[str, Any]]) -> Table:
    """One row a claim; a demonstration's numbers are of many kinds and say what they are."""
    columns = ["claim", "source", "verdict", "effect [95% interval]", "n"]
    rows = [
        [claim["statement"], claim["source"], _verdict(claim), claim["effect"], _n(claim)]
        for claim in claims
    ]
    if not any("what" in claim for claim in claims):
        return Table(tuple(columns), tuple(map(tuple, rows)), text_columns=4)
    columns = [*columns[:3], "what was measured", "predicted", *columns[3:]]
    rows = [
        [*row[:3], claim.get("what") or "", claim.get("predicted", ""), *row[3:]]
        for claim, row in zip(claims, rows, strict=True)
    ]
    return Table(tuple(columns), tuple(map(tuple, rows)), text_columns=6)


def _verdict(claim: dict[str, Any]) -> str:
    return str(claim["verdict"]) + (f" {EDGE}" if claim.get("at_edge") else "")


def _n(claim: dict[str, Any]) -> str:
    n = claim.get("n")
    return "" if n is None else str(n)
