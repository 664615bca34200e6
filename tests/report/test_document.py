import io

from rich.console import Console

from losslab.report.document import (
    TERMINAL_LINES,
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


def test_markdown_has_everything():
    text = to_markdown(DOCUMENT)
    assert "| name | n |\n| :-- | --: |\n| a\\|b | 1 |" in text
    assert f"- line {TERMINAL_LINES + 1}" in text
    assert "![What it shows](figures/a.png)" in text
    assert "Small." in text
