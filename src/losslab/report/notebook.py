"""The page of all claims of all studies, from their committed results."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from losslab.files import check_generated, read_json, write_atomically
from losslab.report import formatting as show
from losslab.report.blocks import EDGE, EDGE_NOTE
from losslab.report.claims import VERDICTS
from losslab.report.document import (
    Block,
    Document,
    Heading,
    Listing,
    Paragraph,
    Picture,
    Table,
    to_markdown,
)
from losslab.report.findings import ACCURACY
from losslab.report.samples import Estimate
from losslab.report.statistics import Interval
from losslab.text import Markdown, markdown, printable

PAGE = "README.md"
UNEXPLAINED = "What stays unexplained"


def is_notebook(folder: Path) -> bool:
    """Return whether a folder holds reports of studies, rather than runs."""
    return any(folder.glob("*/results.json"))


def write_notebook(folder: Path) -> Path:
    """Write :func:`notebook` into the folder; return the file."""
    page = folder / PAGE
    check_generated(page, below=folder)
    write_atomically(page, notebook(folder))
    return page


def notebook(folder: Path) -> str:
    """Return the page for a folder of studies, each with its ``results.json``.

    Raises:
        ValueError: No results there, or a file that cannot be read.
    """
    found = []
    for path in sorted(folder.glob("*/results.json")):
        try:
            results, name = read_json(path), path.parent.name
            # All that is made of it, so that the file is named where something is amiss.
            steps = _synthesis(folder, name, results) if results.get("steps") else ()
            to_markdown(Document(_about(name, results), (*steps, *_claims(name, results))))
            found.append((name, results))
        except Exception as error:  # whatever an altered file leads to
            raise ValueError(
                f"{path} cannot be read ({' '.join(str(error).split())}); write it again with "
                f"`losslab report outputs/{path.parent.name} --to {path.parent}`"
            ) from error
    if not found:
        raise ValueError(
            f"{folder} holds no results; write some with `losslab report outputs/NAME --to "
            f"{folder}/NAME`"
        )
    synthesis = next((pair for pair in found if pair[1].get("steps")), None)
    blocks: list[Block] = [
        *(_synthesis(folder, *synthesis) if synthesis else ()),
        Heading("Every claim"),
        Paragraph(
            "Every claim of every study, with its measured verdict. Generated from the committed "
            "results by `losslab report experiments`; a claim that fails stays. Each folder has "
            "the question, the full report and the figures."
        ),
        Listing(tuple(_about(name, results) for name, results in found)),
    ]
    for name, results in found:
        blocks += _claims(name, results)
    if any(claim.get("at_edge") for _, results in found for claim in results["claims"]):
        blocks.append(Paragraph(EDGE_NOTE))
    unexplained = _section(folder / synthesis[0] / PAGE, UNEXPLAINED) if synthesis else ""
    if unexplained:
        blocks += [Heading(UNEXPLAINED), Paragraph(Markdown(unexplained))]
    return to_markdown(Document("The lab notebook", tuple(blocks)))


def _claims(name: str, results: dict[str, Any]) -> tuple[Block, ...]:
    claims = results["claims"]
    return (
        Heading(results["title"]),
        Paragraph(
            Markdown(f"`{printable(results['command'])}` · {_link(name, name)} · {_count(claims)}")
        ),
        _table(claims),
    )


def _synthesis(folder: Path, name: str, results: dict[str, Any]) -> tuple[Block, ...]:
    """Return the waterfall of the study that has one, and what its own page says of it."""
    said = _section(folder / name / PAGE, "In short")
    rows = [
        (
            step["label"],
            show.estimate(ACCURACY, _estimate(step.get("level"))),
            _change(step.get("change")),
            str(step["level"]["n"]) if "level" in step else show.ABSENT,
        )
        for step in results["steps"]
    ]
    return (
        Heading(results["title"]),
        *([Paragraph(Markdown(said))] if said else ()),
        Picture(f"{name}/figures/waterfall.png", "What each step adds to the test accuracy"),
        Table(("step", "test accuracy", "change [95% interval]", "n"), tuple(rows)),
    )


def _estimate(level: dict[str, Any] | None) -> Estimate | None:
    if level is None:
        return None
    return Estimate(level["n"], level["mean"], _interval(level), level["covers"])


def _change(change: dict[str, Any] | None) -> str:
    if change is None:
        return ""
    number = show.number(ACCURACY, change["difference"], signed=True)
    unit = show.unit(ACCURACY, difference=True)
    return f"{number}{unit} {show.interval(ACCURACY, _interval(change), signed=True)}"


def _interval(measured: dict[str, Any]) -> Interval | None:
    return Interval(*measured["interval"]) if "interval" in measured else None


def _section(page: Path, heading: str) -> str:
    """Return what stands below a heading of a page, without it; empty where it is not there."""
    if not page.exists():
        return ""
    _, _, rest = page.read_text(encoding="utf-8").partition(f"## {heading}\n")
    return rest.partition("\n## ")[0].strip()


def _about(name: str, results: dict[str, Any]) -> str:
    return Markdown(f"{_link(results['title'], name)} {markdown(results['question'])}")


def _link(text: str, name: str) -> str:
    return f"[{markdown(text)}]({quote(name)}/{PAGE})"


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
