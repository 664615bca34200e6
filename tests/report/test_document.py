import io

from rich.console import Console

from losslab.report.document import (
    TERMINAL_LINES,
    TERMINAL_ROWS,
    Document,
    Heading,
    Listing,
    Paragraph,
    Picture,
    Table,
    to_console,
    to_markdown,
)

DOCUMENT = Document(
    "Title",
    (
        Heading("Part"),
        Paragraph("Brackets [0.1, 0.2] stay."),
        Paragraph("Small.", fine_print=True),
        Table(("name", "n"), (("a|b", "1"),)),
        Listing(tuple(f"line {i}" for i in range(TERMINAL_LINES + 2))),
        Picture("figures/a.png", "What it shows"),
    ),
)


def test_a_terminal_that_is_none_gets_plain_text():
    file = io.StringIO()
    to_console(DOCUMENT, Console(file=file, width=80))
    text = file.getvalue()
    assert "\x1b" not in text
    assert "Brackets [0.1, 0.2] stay." in text
    assert "a|b" in text
    assert "and 2 more" in text
    assert "Small." not in text


def test_a_narrow_terminal_breaks_texts_and_headings_but_no_number():
    rows = (("a loss with a long name", "93.8 % [92.4, 95.2]"),)
    table = Table(("", "accuracy at the best rate of all"), rows)
    file = io.StringIO()
    to_console(Document("Title", (table,)), Console(file=file, width=36))
    assert "accuracy at the" in file.getvalue()
    assert "a loss with" in file.getvalue()
    assert "93.8 % [92.4, 95.2]" in file.getvalue()


def test_a_terminal_shows_the_first_rows_of_many():
    table = Table(("", "n"), tuple((f"row{i}", "1") for i in range(TERMINAL_ROWS + 5)))
    file = io.StringIO()
    to_console(Document("Title", (table,)), Console(file=file, width=80))
    assert f"row{TERMINAL_ROWS - 1} " in file.getvalue()
    assert f"row{TERMINAL_ROWS} " not in file.getvalue()
    assert "and 5 more, in the report's file" in file.getvalue()


def test_a_terminal_shows_the_brief_rows_and_no_fine_print():
    tables = (
        Table(("", "n"), (("whole", "1"),), brief=(("brief", "1"),)),
        Table(("", "n"), (("hidden", "1"),), fine_print=True),
    )
    file = io.StringIO()
    to_console(Document("Title", tables), Console(file=file, width=80))
    assert "brief" in file.getvalue()
    assert not {"whole", "hidden"} & set(file.getvalue().split())
    assert "whole" in to_markdown(Document("Title", tables))


def test_markdown_has_everything():
    text = to_markdown(DOCUMENT)
    assert "| name | n |\n| :-- | --: |\n| a\\|b | 1 |" in text
    assert f"- line {TERMINAL_LINES + 1}" in text
    assert "![What it shows](figures/a.png)\n\n*What it shows*\n" in text
    assert "Small." in text
