"""Write a report's files, each beside and renamed, and print it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from losslab.files import write_atomically
from losslab.report.data import to_json
from losslab.report.document import Document, to_console, to_markdown
from losslab.report.findings import Census


@dataclass(frozen=True)
class Results:
    """A report that was written.

    Attributes:
        data: What ``results.json`` holds, before rounding.
        census: The runs by state.
        files: All that was written: ``report.md``, ``results.json``, figures.
    """

    data: Mapping[str, Any]
    census: Census
    files: tuple[Path, ...]


def render(
    document: Document,
    data: Mapping[str, Any],
    *,
    census: Census,
    out: Path,
    figures: tuple[Path, ...],
    console: Console | None,
) -> Results:
    """Write ``report.md`` and ``results.json`` to a folder and print to a console, if any."""
    out.mkdir(parents=True, exist_ok=True)
    report, results = out / "report.md", out / "results.json"
    write_atomically(report, to_markdown(document))
    write_atomically(results, to_json(data))
    if console is not None:
        to_console(document, console)
        console.print(Text(f"\nWritten: {report}"), soft_wrap=True)
    return Results(data, census, (report, results, *figures))
