"""Documents: one template, rendered as Markdown or printed to a terminal."""

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table as RichTable

from losslab.files import GENERATED
from losslab.text import Markdown, markdown

TERMINAL_LINES, TERMINAL_ROWS = 12, 40
_INTERVAL = 24  # characters of a number with its interval, at most
_TABLE = "\0table "  # placeholder for a table in a terminal's text


@dataclass(frozen=True)
class Table:
    """A table of text cells."""

    columns: tuple[str, ...]  # headings
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1  # the number of leading text columns; the others are numbers
    terminal: tuple[int, ...] = ()  # indices of the columns for a terminal; all if empty
    brief: tuple[tuple[str, ...], ...] = ()  # shorter rows for a terminal; ``rows`` if empty

    @classmethod
    def of(
        cls,
        rows: Sequence[Mapping[str, str]],
        *,
        text_columns: int = 1,
        terminal: Sequence[str] = (),
    ) -> "Table":
        """Return a table of rows ``{heading: text}``; ``terminal`` names columns to show there."""
        columns = tuple(rows[0]) if rows else ()
        shown = tuple(columns.index(name) for name in terminal) if rows else ()
        return cls(columns, tuple(tuple(row.values()) for row in rows), text_columns, shown)


@dataclass(frozen=True)
class Document:
    """The name of a file in ``templates/`` and the values to fill it with.

    Templates can call ``table``, ``listing`` and ``figure``, which shows a figure if its file name
    is among the content's ``figures``. ``file`` is false in a terminal, which shows neither figures
    nor fine print.
    """

    template: str
    content: Mapping[str, Any]


def to_markdown(document: Document) -> str:
    """Render a document as Markdown; markup in names and errors is escaped."""

    def figure(name: str, caption: str) -> Markdown:
        if name not in document.content["figures"]:
            return Markdown("")
        # The caption is also the alternative text.
        caption = markdown(caption)
        return Markdown(f"![{caption}](figures/{quote(name)})\n\n*{caption}*")

    parts = {"table": _markdown, "listing": _bullets, "figure": figure, "file": True}
    return f"{_render(document, finalize=markdown, **parts)}\n{GENERATED}\n"


def to_console(document: Document, console: Console) -> None:
    """Print a document."""
    tables: list[Table] = []

    def placeholder(table: Table) -> str:
        tables.append(table)
        return f"{_TABLE}{len(tables) - 1}"

    def listing(lines: Sequence[str]) -> str:
        rest = _rest(len(lines) - TERMINAL_LINES)
        return "\n".join(f"- {line}" for line in [*lines[:TERMINAL_LINES], *rest])

    parts = {"table": placeholder, "listing": listing, "figure": lambda *_: "", "file": False}
    for line in filter(None, _render(document, finalize=str, **parts).splitlines()):
        if line.startswith(_TABLE):
            table = tables[int(line.removeprefix(_TABLE))]
            console.print(Padding(_rich(table), (0, 0, 0, 1)))
            for rest in _rest(len(table.rows) - TERMINAL_ROWS):
                console.print(f"- {rest}", highlight=False)
        elif heading := re.match(r"#+ ", line):
            before = "\n" if len(heading[0]) > 2 else ""
            title = escape(line.removeprefix(heading[0]))
            console.print(f"{before}[bold]{title}[/bold]", highlight=False)
        else:
            console.print(escape(line), highlight=False)


def templates(**options: Any) -> Environment:
    """Return jinja2's environment for ``templates/``, in which an undefined name is an error."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )


def _render(document: Document, *, finalize: Callable[[str], str], **parts: Any) -> str:
    environment = templates(
        autoescape=False,  # it is Markdown, not HTML
        finalize=lambda value: finalize(value) if isinstance(value, str) else value,
    )
    text = environment.get_template(f"{document.template}.md").render(**document.content, **parts)
    # Conditions that were false leave blank lines.
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _markdown(table: Table) -> Markdown:
    rules = [":--"] * table.text_columns + ["--:"] * (len(table.columns) - table.text_columns)
    rows = (table.columns, rules[: len(table.columns)], *table.rows)
    return Markdown("\n".join("| " + " | ".join(map(markdown, row)) + " |" for row in rows))


def _bullets(lines: Sequence[str]) -> Markdown:
    return Markdown("\n".join(f"- {markdown(line)}" for line in lines))


def _rest(number: int) -> list[str]:
    return [f"and {number} more, in the report's file"] if number > 0 else []


def _rich(table: Table) -> RichTable:
    shown = table.terminal or range(len(table.columns))
    rows = (table.brief or table.rows)[:TERMINAL_ROWS]
    rich_table = RichTable(box=None, pad_edge=False, header_style="bold")
    for index in shown:
        heading, text = table.columns[index], index < table.text_columns
        width = max(map(len, [*(row[index] for row in rows), *heading.split()]), default=0)
        if not text:
            heading = textwrap.fill(heading, min(width, _INTERVAL))
        # Numbers do not wrap: an interval on a second line is hard to read. Remarks beside them do.
        number = not text and width <= _INTERVAL
        justify: Literal["left", "right"] = "left" if text else "right"
        rich_table.add_column(escape(heading), overflow="fold", no_wrap=number, justify=justify)
    for row in rows:
        rich_table.add_row(*(escape(row[index]) for index in shown))
    return rich_table
