"""The page of every claim of every study, from their committed results."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from losslab.files import check_generated, read_json, write_atomically
from losslab.report import formatting as show
from losslab.report.document import Document, Table, to_markdown
from losslab.report.estimates import Estimate
from losslab.report.findings import ACCURACY
from losslab.report.sources import citation
from losslab.report.statistics import Interval
from losslab.report.study_report import EDGE, count
from losslab.text import Markdown, markdown

PAGE = "README.md"


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
    """Return the page for a folder of studies, each with its ``results.json``.

    Raises:
        ValueError: No results there, or a file that cannot be read.
    """
    studies, synthesis, edges = [], None, False
    for path in sorted(folder.glob("*/results.json")):
        name = path.parent.name
        try:
            results = read_json(path)
            studies.append(_study(name, results))
            edges |= any(claim.get("at_edge") for claim in results["claims"])
            if results.get("steps") and synthesis is None:
                synthesis = _synthesis(folder, name, results)
        except Exception as error:  # whatever an altered file leads to
            raise ValueError(
                f"{path} cannot be read ({' '.join(str(error).split())}); write it again with "
                f"`losslab report outputs/{name} --to {path.parent}`"
            ) from error
    if not studies:
        raise ValueError(
            f"{folder} holds no results; write some with `losslab report outputs/NAME --to "
            f"{folder}/NAME`"
        )
    unexplained = (
        _section(folder / synthesis["name"] / PAGE, "What stays unexplained") if synthesis else ""
    )
    content = {
        "about": [study.pop("about") for study in studies],
        "studies": studies,
        "synthesis": synthesis,
        "any_edge": edges,
        "edge": EDGE,
        "unexplained": Markdown(unexplained),
    }
    return to_markdown(Document("claims_page", content))


def _study(name: str, results: dict[str, Any]) -> dict[str, Any]:
    claims = results["claims"]
    return {
        "link": _link(name, name),
        "title": _text(results["title"]),
        "command": _text(results["command"]),
        "about": Markdown(f"{_link(results['title'], name)} {markdown(results['question'])}"),
        "count": count([claim["verdict"] for claim in claims]),
        "claims": _table(claims),
    }


def _synthesis(folder: Path, name: str, results: dict[str, Any]) -> dict[str, Any]:
    """Return the waterfall of the study that has one, and what its own page says of it."""
    rows = [
        (
            step["label"],
            show.estimate(ACCURACY, _estimate(step.get("level"))),
            _change(step.get("change")),
            str(step["level"]["n"]) if "level" in step else show.ABSENT,
        )
        for step in results["steps"]
    ]
    return {
        "name": name,
        "title": results["title"],
        "said": Markdown(_section(folder / name / PAGE, "In short")),
        "steps": Table(("step", "test accuracy", "change [95% interval]", "n"), tuple(rows)),
    }


def _link(text: str, name: str) -> Markdown:
    return Markdown(f"[{markdown(text)}]({quote(name)}/README.md)")


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


def _table(claims: list[dict[str, Any]]) -> Table:
    """One row a claim; quantities are of many kinds and say what they are."""
    columns = ["claim", "source", "verdict", "effect [95% interval]", "n"]
    rows = [
        [claim["statement"], citation(claim["source"]), _verdict(claim), claim["effect"], _n(claim)]
        for claim in claims
    ]
    if not any("what" in claim for claim in claims):
        return Table(tuple(columns), _texts(rows), text_columns=4)
    columns = [*columns[:3], "what was measured", "predicted", *columns[3:]]
    rows = [
        [*row[:3], claim.get("what") or "", claim.get("predicted", ""), *row[3:]]
        for claim, row in zip(claims, rows, strict=True)
    ]
    return Table(tuple(columns), _texts(rows), text_columns=6)


def _texts(rows: list[list[Any]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(map(_text, row)) for row in rows)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _verdict(claim: dict[str, Any]) -> str:
    return str(claim["verdict"]) + (f" {EDGE}" if claim.get("at_edge") else "")


def _n(claim: dict[str, Any]) -> str:
    n = claim.get("n")
    return "" if n is None else str(n)
