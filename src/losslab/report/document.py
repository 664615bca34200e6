"""A report as a list of blocks, written as Markdown or to a terminal."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table as RichTable

TERMINAL_LINES, TERMINAL_ROWS = 12, 40


@dataclass(frozen=True)
class Heading:
    """A section's title.

    Attributes:
        fine_print: Shown in files, not in a terminal.
    """

    text: str
    fine_print: bool = False


@dataclass(frozen=True)
class Paragraph:
    """Plain text.

    Attributes:
        text: Without markup.
        fine_print: Shown in files, not in a terminal.
    """

    text: str
    fine_print: bool = False


@dataclass(frozen=True)
class Listing:
    """Lines that belong together; a terminal shows the first few, as of a table's rows."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        columns: Their headings; the first column is text, the others are numbers.
        rows: One text a column.
        text_columns: How many of the first columns are text.
        terminal: Indices of the columns shown in a terminal, which is narrow; all if empty.
        brief: What a terminal shows instead of the rows, with fewer words; the rows if empty.
        fine_print: Shown in files, not in a terminal.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1
    terminal: tuple[int, ...] = ()
    brief: tuple[tuple[str, ...], ...] = ()
    fine_print: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure; shown in files only.

    Attributes:
        path: Relative to the report.
        caption: What it shows.
    """

    path: str
    caption: str


Block = Heading | Paragraph | Listing | Table | Picture


@dataclass(frozen=True)
class Document:
    """A title and what stands below it."""

    title: str
    blocks: tuple[Block, ...]


def to_markdown(document: Document) -> str:
    """Write a document as Markdown.

    >>> print(to_markdown(Document("Title", (Heading("Part"), Paragraph("Words.")))))
    # Title
    <BLANKLINE>
    ## Part
    <BLANKLINE>
    Words.
    <BLANKLINE>
    """
    return "\n\n".join([f"# {document.title}", *map(_markdown, document.blocks)]) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, _):
            return f"## {text}"
        case Paragraph(text, _):
            return text
        case Listing(lines):
            return "\n".join(f"- {line}" for line in lines)
        case Picture(path, caption):
            # The text in brackets shows where the picture cannot; most readers see the picture.
            return f"![{caption}]({path})\n\n*{caption}*"
        case Table(columns, rows, text_columns):
            rules = tuple(":--" if i < text_columns else "--:" for i in range(len(columns)))
            every = (columns, rules, *rows)
            return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in every)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def to_console(document: Document, console: Console) -> None:
    """Print a document; plain text where the console is no terminal."""
    console.print(f"[bold]{escape(document.title)}[/bold]", highlight=False)
    for block in document.blocks:
        match block:
            case Heading(text, fine_print):
                if not fine_print:
                    console.print(f"\n[bold]{escape(text)}[/bold]", highlight=False)
            case Paragraph(text, fine_print):
                if not fine_print:
                    console.print(escape(text), highlight=False)
            case Listing(lines):
                for line in lines[:TERMINAL_LINES]:
                    console.print(f"- {escape(line)}", highlight=False)
                _more(len(lines) - TERMINAL_LINES, console)
            case Table():
                if not block.fine_print:
                    console.print(Padding(_rich(block), (0, 0, 0, 1)))
                    _more(len(block.rows) - TERMINAL_ROWS, console)
            case Picture():
                pass


def _more(number: int, console: Console) -> None:
    if number > 0:
        console.print(f"- and {number} more, in the report's file", highlight=False)


def _rich(table: Table) -> RichTable:
    shown = table.terminal or tuple(range(len(table.columns)))
    rows = (table.brief or table.rows)[:TERMINAL_ROWS]
    drawn = RichTable(box=None, pad_edge=False, header_style="bold")
    for index in shown:
        heading = table.columns[index]
        text = index < table.text_columns
        if not text:
            width = max([len(row[index]) for row in rows] + [len(word) for word in heading.split()])
            heading = textwrap.fill(heading, width)
        drawn.add_column(
            escape(heading),
            justify="left" if text else "right",
            overflow="fold",
            # A number with its interval on two lines cannot be read down a column.
            no_wrap=not text,
        )
    for row in rows:
        drawn.add_row(*(escape(row[index]) for index in shown))
    return drawn


def names(items: Sequence[str]) -> str:
    """Join names as a sentence does.

    >>> names(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))
