"""losslab report --csv, --latex, --json: a sweep or a study as one table."""

import io
import json
import re
import shutil
import subprocess

import pandas as pd
import pytest

from bad import check, snapshot
from losslab.report.exports import export, latex, to_csv, to_latex
from report.factory import tiny_plan, write_run, write_study

ODD = ["50% of a_b", "[64, 64]", "a & b # c", r"x^2 ~ \y", "{σ}", "Kreuzentropie ÄÖ", "<b> | $1"]


@pytest.fixture
def odd(losslab):
    """A sweep whose names have all that LaTeX reads as commands, a single seed, and none at all."""
    folder = losslab.folder / "outputs" / "odd"
    for index, text in enumerate(ODD):
        for seed in range(1 if index == 1 else 3):
            write_run(
                folder,
                f"m_y-lr=1-{index:08x}/seed={seed}",
                accuracy=0.5 + 0.05 * index,
                predictions=index != 2,
                config={"model": {"hidden_units": text}, "optimizer": {"lr": 0.1}},
            )
    config = {"model": {"hidden_units": "none"}, "optimizer": {"lr": 0.1}}
    write_run(folder, "m_y-lr=1-0f/seed=0", status="failed", config=config)
    return folder


def document(table: str) -> str:
    packages = r"\documentclass{article}\usepackage{booktabs}"
    packages += r"\DeclareUnicodeCharacter{03C3}{$\sigma$}"
    return f"{packages}\n\\begin{{document}}\n{table}\n\\end{{document}}\n"


def cells(table: str) -> list[list[str]]:
    rows = [line.removesuffix(r"\\") for line in table.splitlines() if line.endswith(r"\\")]
    return [re.split(r"(?<!\\)&", row) for row in rows]


def test_the_latex_table_is_balanced_and_escaped(losslab, odd):
    code, table, err = losslab.call("report", "outputs/odd", "--latex")
    assert (code, err) == (0, "")
    assert "need LuaLaTeX" in table  # for σ
    rules = [r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{llrrrrrr}"]
    assert [table.count(rule) for rule in [*rules, r"\end{tabular}"]] == [1] * 5
    found = cells(table)
    assert len(found) == 1 + len(ODD) + 1
    assert {len(row) for row in found} == {8}
    for row in found:
        for cell in row:
            assert re.search(r"(?<!\\)[%#_]", cell) is None, cell
            assert len(re.findall(r"(?<!\\)\$", cell)) % 2 == 0, cell
            assert len(re.findall(r"(?<!\\)\{", cell)) == len(re.findall(r"(?<!\\)\}", cell)), cell
            # Behind the end of a row or a rule, these would be its argument.
            assert not cell.lstrip().startswith(("[", "*")), cell
    by_text = {row[1].strip(): row for row in found}
    three = by_text[r"50\% of a\_b"]
    assert three[2].strip() == "3"
    assert re.fullmatch(r"\$[\d.]+\$ \$\[[\d.]+, [\d.]+\]\$", three[3].strip())
    single = by_text["{[}64, 64{]}"]
    assert (single[2].strip(), "[" in single[3]) == ("1", False)
    assert by_text[r"a \& b \# c"][3].strip().endswith(r"$^\ddagger$")  # over seeds alone
    assert by_text["none"][2:4] == [" 0 ", " -- "]
    # The best of the loss, by validation.
    assert [row[0] for row in found if "textbf" in row[1]] == [r"\textbf{m\_y} "]
    assert r"\textbf{\textless{}b\textgreater{} \textbar{} \$1}" in found[1][1]


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no pdflatex")
def test_pdflatex_compiles_it(losslab, odd, tiny_study, tmp_path):
    tables = [losslab.call("report", str(path), "--latex").out for path in (odd, tiny_study)]
    for number, table in enumerate(tables):
        path = tmp_path / f"table{number}.tex"
        path.write_text(document(table))
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", path.name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:]
        assert "Missing" not in done.stdout
        assert path.with_suffix(".pdf").stat().st_size > 5000


def test_text_is_shown_as_it_is():
    assert latex("–") == "--"
    assert latex(r"\a{b}") == r"\textbackslash{}a\{b\}"
    assert latex("−1") == "-1"
    assert latex("Kreuzentropie ÄÖ, σ") == "Kreuzentropie ÄÖ, σ"
    assert latex("a\x1b[0m") == r"a\textbackslash{}x1b{[}0m"


def test_the_csv_holds_the_reports_numbers(losslab, odd):
    code, out, err = losslab.call("report", "outputs/odd", "--csv")
    assert (code, err) == (0, "")
    table = pd.read_csv(io.StringIO(out))
    assert losslab.call("report", "outputs/odd").code == 0
    data = json.loads((odd / "results.json").read_text())
    assert table["folder"].tolist() == [each["group"] for each in data["configurations"]]
    assert table["model.hidden_units"].tolist()[:-1] == ODD[::-1]
    assert table["best"].tolist() == [True] + [False] * len(ODD)
    for row, each in zip(table.to_dict("records"), data["configurations"], strict=True):
        for tag, measured in each["metrics"].items():
            if "mean" not in measured:
                assert pd.isna(row[tag])
                continue
            assert row[tag] == pytest.approx(measured["mean"], rel=1e-5)
            ends = measured.get("interval", [float("nan")] * 2)
            assert [row[f"{tag}/low"], row[f"{tag}/high"]] == pytest.approx(ends, nan_ok=True)
        assert row["n"] == each["metrics"]["val/accuracy"]["n"]


@pytest.mark.slow
def test_json_is_that_of_the_report(losslab, odd, tiny_study, tmp_path):
    for folder in (odd, shutil.copytree(tiny_study, tmp_path / "tiny")):
        printed = losslab.call("report", str(folder), "--json").out
        assert losslab.call("report", str(folder)).code == 0
        assert (folder / "results.json").read_text() == printed


def test_a_study_has_its_arms_at_their_rates(tiny_study):
    found = export(tiny_study)
    table = pd.read_csv(io.StringIO(to_csv(found)))
    assert len(table) == 3 * 2
    own = table[table["rate"] == "own"].set_index("arm")
    assert own["optimizer.lr"].tolist() == [0.1, 0.1, 1.0]
    assert own["n"].tolist() == [8, 8, 8]
    assert table[table["rate"] == "reference"]["optimizer.lr"].tolist() == [0.1, 0.1, 0.1]
    means = dict(zip(own.index, own["test/accuracy"], strict=True))
    assert means["cross-entropy"] == pytest.approx(0.95, abs=0.02)
    assert "squared error, raw & own" in to_latex(found)


@pytest.mark.parametrize("confirmed", [True, False])
def test_the_value_at_every_rate(tmp_path, confirmed):
    plan = tiny_plan() | {"rates": ["reference", "scaled", "own"], "claims": []}
    plan["confirm"] += [
        run | {"rate": "scaled", "value": 1.0}
        for run in plan["confirm"]
        if (run["arm"], run["rate"]) == ("mse_softmax", "own")
    ]
    plan |= {} if confirmed else {"confirm": []}
    values = {(row["arm"], row["rate"]): row["optimizer.lr"] for row in rows(tmp_path, plan)}
    assert values["squared error, softmax", "reference"] == 0.1
    assert values["squared error, softmax", "own"] == 1.0
    assert values["squared error, softmax", "scaled"] == (1.0 if confirmed else None)
    assert values["squared error, raw", "scaled"] is None  # it has no factor
    assert values["cross-entropy", "scaled"] == 0.1


def rows(folder, plan):
    return [row.options for row in export(write_study(folder / "tiny", plan)).rows]


def test_nothing_else_is_written(losslab, odd):
    before = snapshot(losslab.folder)
    assert losslab.call("report", "outputs/odd", "--csv").code == 0
    assert losslab.call("report", "--csv", "outputs/odd").code == 0
    assert losslab.call("report", "outputs", "--json").code == 0  # the only one there
    assert snapshot(losslab.folder) == before
    files = ("--csv", "a.csv", "--latex", "a.tex", "--json", "a.json")
    result = losslab.call("report", "outputs/odd", *files)
    assert (result.code, result.out) == (
        0,
        "Written: a.csv\nWritten: a.tex\nWritten: a.json\n",
    )
    new = snapshot(losslab.folder).keys() - before.keys()
    assert new == {"a.csv", "a.tex", "a.json"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("outputs/odd --csv --json", ("--csv and --json", "--csv rates.csv")),
        ("outputs/odd --csv t.txt --latex ./t.txt", ("--csv and --latex", "the same file")),
        ("outputs/odd --csv --to x", ("--to is for whole reports",)),
        ("--csv", ("the path of a study or a sweep",)),
        ("outputs/odd --csv nowhere/a.csv", ("nowhere/a.csv cannot be written",)),
        ("nowhere --csv", ("nowhere is not a folder",)),
        ("empty --latex", ("holds no runs",)),
        ("two --latex", ("several studies or sweeps", "two/a, two/b")),
        ("measures --latex", ("--json",)),
    ],
)
def test_wrong_commands(losslab, odd, arguments, says):
    (losslab.folder / "empty").mkdir()
    for name in "ab":
        write_run(losslab.folder / "two" / name, "mse-lr=1-0a/seed=0")
    plan = tiny_plan() | {"arms": {}, "tune": [], "confirm": [], "chosen": {}, "claims": []}
    write_study(losslab.folder / "measures", plan)
    check(losslab, ("report", *arguments.split()), says)
