"""One template gives the file and what a terminal shows of it."""

import io

from rich.console import Console

from losslab.files import GENERATED
from losslab.report.document import (
    TERMINAL_LINES,
    TERMINAL_ROWS,
    Document,
    Table,
    to_console,
    to_markdown,
)
from losslab.report.findings import take_census
from losslab.report.study_report import sentence

TABLE = Table(("name", "n"), (("a|b", "1"),))


def document(table=TABLE, lines=()):
    content = {
        "varied": "brackets [0.1, 0.2]",
        "best": None,
        "by": "validation accuracy",
        "configurations": table,
        "figures": {"accuracy_by_value.png"},
        "census": take_census([], {}),
        "census_lines": list(lines),
        "environment": Table(("", "of the runs"), (("torch", "2.15"),), text_columns=2),
    }
    return Document("sweep", content)


def shown(found, width=80):
    file = io.StringIO()
    to_console(found, Console(file=file, width=width))
    return file.getvalue()


def test_a_terminal_that_is_none_gets_plain_text_without_fine_print():
    text = shown(document(lines=[f"line {i}" for i in range(TERMINAL_LINES + 2)]))
    assert "\x1b" not in text
    assert "Varied: brackets [0.1, 0.2]." in text
    assert "a|b" in text
    assert "- and 2 more" in text
    assert not {"Each", "torch", "figures"} & set(text.replace("/", " ").split())


def test_a_narrow_terminal_breaks_texts_and_headings_but_no_number():
    rows = (("a loss with a long name", "93.8% [92.4, 95.2]"),)
    text = shown(document(Table(("", "accuracy at the best rate of all"), rows)), width=36)
    assert "accuracy at the" in text
    assert "a loss with" in text
    assert "93.8% [92.4, 95.2]" in text


def test_a_remark_beside_a_number_wraps_so_that_nothing_is_cut():
    row = ("squared error", "94.6% [93.2, 96.0]", "10, 1 lost a class (the others: 94.3)")
    told = shown(document(Table(("loss", "test accuracy there", "n"), (row,))), width=46)
    assert "94.6% [93.2, 96.0]" in told
    words = told.split()
    assert [word for cell in (row[0], row[2]) for word in cell.split() if word not in words] == []


def test_a_terminal_shows_the_first_rows_of_many():
    table = Table(("", "n"), tuple((f"row{i}", "1") for i in range(TERMINAL_ROWS + 5)))
    text = shown(document(table))
    assert f"row{TERMINAL_ROWS - 1} " in text
    assert f"row{TERMINAL_ROWS} " not in text
    assert "and 5 more, in the report's file" in text


def test_a_terminal_shows_the_brief_rows_and_a_file_the_whole_ones():
    found = document(Table(("", "n"), (("whole", "1"),), brief=(("brief", "1"),)))
    assert ("brief" in shown(found), "whole" in shown(found)) == (True, False)
    assert "| whole | 1 |" in to_markdown(found)


def test_markdown_has_everything():
    text = to_markdown(document(lines=[f"line {i}" for i in range(TERMINAL_LINES + 2)]))
    assert text.startswith("# Runs\n\nVaried: brackets [0.1, 0.2].\n\n## Configurations\n\n|")
    assert "| name | n |\n| :-- | --: |\n| a\\|b | 1 |" in text
    assert f"- line {TERMINAL_LINES + 1}" in text
    assert "](figures/accuracy_by_value.png)\n\n*Test accuracy against" in text
    assert "Each row is one configuration, sorted by validation accuracy." in text
    assert text.endswith(f"| torch | 2.15 |\n\n{GENERATED}\n")


def results_of(arms, conditions=None):
    """Return the part of results.json that the answer is made of: an arm's gap is its number."""
    named = {f"{arm}@{where}" if where else arm for arm in arms for where in conditions or [""]}
    gaps = {name: {"difference": float(name.split("@")[0])} for name in named if name[0] != "0"}
    labels = {name: {"label": name} for name in named}
    return {
        "arms": labels,
        "gaps": gaps,
        "conditions": conditions or {},
        "reference": "0",
        "axis": "",
    }


def test_the_answer_is_that_of_the_largest_position_whatever_the_order_of_keys():
    about = {where: {"position": place, "label": where} for where, place in (("b", 9), ("c", 0.5))}
    assert "1@b" in sentence(results_of("01", about))


def test_an_answer_of_many_arms_names_the_outermost():
    told = sentence(results_of("0123456789"))
    assert "three most ahead and behind" in told
    assert [told.index(f" {arm} ") for arm in "987321"] == sorted(
        told.index(f" {arm} ") for arm in "987321"
    )
    assert not any(f" {arm} " in told for arm in "456")
