"""The page of every claim of every study, from their committed results."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from losslab.files import check_generated, read_json, write_atomically
from losslab.report import formatting as show
from losslab.report.document import Document, Table, to_markdown
from losslab.report.estimates import Estimate
from losslab.report.findings import ACCURACY
from losslab.report.statistics import Interval
from losslab.report.study_report import EDGE, count
from losslab.text import Markdown, markdown

PAGE, WATERFALL = "README.md", "figures/waterfall.png"


def is_claims_page(folder: Path) -> bool:
    """Return whether a folder holds reports of studies, rather than runs."""
    return any(folder.glob("*/results.json"))


def write_claims_page(folder: Path) -> Path:
    """Write :func:`claims_page` into the folder; return the file."""
    page = folder / PAGE
    check_generated(page, below=folder)
    write_atomically(page, claims_page(folder))
    return page


def claims_page(folder: Path) -> str:
    """Return the page for a folder of studies; ``ValueError`` without results that can be read."""
    studies, synthesis, unexplained = [], None, ""
    for path in sorted(folder.glob("*/results.json")):
        try:
            results = read_json(path)
            studies.append(_study(path.parent, results))
            if results.get("steps") and synthesis is None:
                synthesis = _synthesis(path.parent, results)
                unexplained = _section(path.with_name(PAGE), "What stays unexplained")
        except Exception as error:  # whatever an altered file leads to
            raise ValueError(
                f"{path} cannot be read ({' '.join(str(error).split())}); write it again with "
                f"`losslab report outputs/{path.parent.name} --to {path.parent}`"
            ) from error
    if not studies:
        raise ValueError(
            f"{folder} holds no results; write some with `losslab report outputs/NAME --to "
            f"{folder}/NAME`"
        )
    content = {"studies": studies, "synthesis": synthesis, "edge": EDGE, "unexplained": unexplained}
    return to_markdown(Document("claims_page", content))


def _study(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    name, claims = folder.name, results["claims"]
    # Of a study that nobody has written about there are only the generated files.
    page = next((page for page in (PAGE, "report.md") if (folder / page).exists()), "results.json")

    def link(text: str) -> Markdown:
        return Markdown(f"[{markdown(text)}]({quote(name)}/{page})")

    return {
        "link": link(name),
        "title": _text(results["title"]),
        "command": _text(results["command"]),
        "about": Markdown(f"{link(results['title'])} {markdown(results['question'])}"),
        "count": count([claim["verdict"] for claim in claims]),
        "claims": _claims(claims),
        "at_edge": any(claim.get("at_edge") for claim in claims),
    }


def _claims(claims: list[dict[str, Any]]) -> Table:
    """Return one row a claim; quantities are of many kinds and say what they are."""
    has_quantities = any("what" in claim for claim in claims)
    rows = []
    for claim in claims:
        n, edge = claim.get("n"), f" {EDGE}" if claim.get("at_edge") else ""
        row = {
            "claim": _text(claim["statement"]),
            "source": _text(claim["source"]),
            "verdict": _text(claim["verdict"]) + edge,
        }
        if has_quantities:
            row["what was measured"] = _text(claim.get("what") or "")
            row["predicted"] = _text(claim.get("predicted", ""))
        row["effect [95% interval]"] = _text(claim["effect"])
        rows.append(row | {"n": "" if n is None else str(n)})
    return Table.of(rows, text_columns=6 if has_quantities else 4)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _synthesis(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    """Return the waterfall of the study that has one, and what its own page says of it."""
    rows = []
    for step in results["steps"]:
        level, change, moved = step.get("level"), step.get("change"), ""
        if level:
            level = Estimate(level["n"], level["mean"], _interval(level), level["covers"])
        if change:
            moved = show.signed(ACCURACY, change["difference"], _interval(change))
        rows.append(
            {
                "step": step["label"],
                "test accuracy": show.estimate(ACCURACY, level),
                "change [95% interval]": moved,
                "n": str(level.n) if level else show.ABSENT,
            }
        )
    return {
        "waterfall": f"{folder.name}/{WATERFALL}" if (folder / WATERFALL).exists() else "",
        "title": _text(results["title"]),
        "said": _section(folder / PAGE, "In short"),
        "steps": Table.of(rows),
    }


def _interval(measured: dict[str, Any]) -> Interval | None:
    return Interval(*measured["interval"]) if "interval" in measured else None


def _section(page: Path, heading: str) -> Markdown:
    """Return what stands below a heading of a page, without it; empty where it is not there."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    return Markdown(text.partition(f"## {heading}\n")[2].partition("\n## ")[0].strip())
