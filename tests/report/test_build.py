import io
import json
import re
import shutil
import subprocess
import sys

import pytest
from rich.console import Console

from losslab.report import build, load_runs, write
from losslab.report.findings import sweep
from losslab.report.sweep_report import configuration_text
from report.factory import run_name, tiny_plan, write_run, write_study

FIGURES = {"accuracy.png", "accuracy_by_value.png", "learning_curves.png", "claims.png"}


@pytest.fixture(scope="module")
def report(tiny_study, tmp_path_factory):
    return build(tiny_study, out=tmp_path_factory.mktemp("report"))


def runs_in(root):
    return json.loads((root / "results.json").read_text("utf-8"))["runs"]


def texts(results):
    return {path.name: path.read_bytes() for path in results}


def test_a_study_has_its_report_data_and_figures(report):
    assert set(texts(report)) == FIGURES | {"report.md", "report.html", "results.json"}
    assert json.loads(texts(report)["results.json"])["runs"]["complete"]


def test_the_data_are_the_known_numbers(report):
    data = json.loads(texts(report)["results.json"])
    softmax = data["arms"]["mse_softmax"]
    naive, own = (softmax["confirmed"][rate]["test/accuracy"] for rate in ("reference", "own"))
    assert naive["mean"] == pytest.approx(0.30, abs=0.02)
    assert own["mean"] == pytest.approx(0.90, abs=0.02)
    assert naive["n"] == own["n"] == 8
    assert own["interval"][0] < own["mean"] < own["interval"][1]
    assert [point["mean"] for point in softmax["tuning"]] == pytest.approx([0.2, 0.3, 0.9])
    assert (softmax["chosen"], softmax["bracketed"]) == (1.0, False)
    assert {claim["id"]: claim["verdict"] for claim in data["claims"]}["naive"] == "supported"
    # The best learning rate of mse_softmax is its grid's last.
    assert [claim["id"] for claim in data["claims"] if "at_edge" in claim] == ["calibrated"]
    assert data["claims"][3]["at_edge"] == ["mse_softmax"]
    assert data["runs"]["expected"] == data["runs"]["done"] == 59
    assert data["environment"].keys() & {"start", "end", "command", "choices"} == set()


def test_the_text_says_what_a_reader_needs(report):
    text = texts(report)["report.md"].decode()
    for needed in (
        "# A tiny study",
        "How far behind is squared error?",
        "| squared error, raw | ",
        "beyond which a better learning rate may lie: squared error, softmax. Claims",
        "softmax of the network's outputs",
        "contradicted § |",
        "| learning rate → (%, n = 3 each) | 0.01 | 0.1 | 1 |",
        "| cross-entropy | 80.0 [77.5, 82.5] | 95.0 [92.5, 97.5]* | 60.0 [57.5, 62.5] |",
        "Runs: 59 expected, 59 done, 0 diverged",
        "| commit | 0123abc |",
        "| dirty | no |",
        "`losslab study tiny`",
        "](figures/accuracy.png)",
        " pp [",
    ):
        assert needed in text
    assert not re.search(r"\bnan\b", text, flags=re.IGNORECASE)


def test_the_same_runs_give_the_same_bytes(report, tiny_study, tmp_path):
    assert texts(build(tiny_study, out=tmp_path)) == texts(report)


def test_a_sweep_that_was_stopped_names_what_has_not_started(tmp_path):
    write_run(tmp_path, "mse-lr=0.1-0a0a0a0a/seed=0")
    (tmp_path / "brier-lr=0.1-12345678").mkdir()
    report, *_ = build(tmp_path)
    text = report.read_text("utf-8")
    assert "Runs: 2 expected, 1 done" in text
    assert "- missing: brier-lr=0.1-12345678" in text


@pytest.mark.slow
def test_an_unfinished_study_reports_what_there_is(tmp_path):
    failed, gone = run_name("mse", 0.1, 100), run_name("mse", 0.01, 2)
    only = {failed, gone, run_name("cross_entropy", 0.1, 103)}
    write_study(tmp_path, tiny_plan(), only=lambda name: name not in only)
    write_run(tmp_path, failed, status="failed", error="RuntimeError: out of memory")
    console = Console(width=160, file=io.StringIO())
    build(tmp_path, console=console)
    text = (tmp_path / "report.md").read_text()
    assert not runs_in(tmp_path)["complete"]
    for needed in (
        "Unfinished: 56 of 59 planned runs have a result",
        f"failed: {failed}: RuntimeError: out of memory",
        f"missing: {gone}",
        "inconclusive (2 of 16 runs missing)",
        "7 of 8",
    ):
        assert needed in text
    assert f"missing: {gone}" in console.file.getvalue()


def test_a_study_that_has_not_begun_has_a_report(tmp_path):
    plan = tiny_plan() | {"confirm": [], "chosen": {}}
    results = build(write_study(tmp_path, plan, only=lambda name: False))
    assert [path.name for path in results] == ["report.md", "results.json", "report.html"]
    assert len(runs_in(tmp_path)["missing"]) == 27


def test_a_sweep_is_a_table_by_configuration(tmp_path):
    for rate in (0.01, 0.1):
        for seed in (0, 1, 2):
            config = {"loss": {"_target_": "x"}, "optimizer": {"lr": rate}, "seed": seed}
            name = f"mse-lr={rate:g}-0a/seed={seed}"
            write_run(tmp_path, name, accuracy=0.5 + rate, config=config)
    config = {"loss": {"_target_": "x"}, "optimizer": {"lr": 1.0}, "seed": 0}
    failed = {"status": "failed", "error": "ValueError: lr", "config": config}
    write_run(tmp_path, "mse-lr=1-0b/seed=0", **failed)
    results = build(tmp_path)
    assert {path.name for path in results} == {
        "report.md",
        "results.json",
        "report.html",
        "accuracy_by_value.png",
    }
    data = json.loads(texts(results)["results.json"])
    assert data["varied"] == ["optimizer.lr"]
    first = data["configurations"][0]
    # Sorted by validation accuracy.
    assert (first["group"], first["loss"]) == ("mse-lr=0.1-0a", "mse")
    assert first["varied"] == {"optimizer.lr": 0.1}
    assert first["metrics"]["test/accuracy"]["n"] == 3
    assert first["metrics"]["test/accuracy"]["mean"] == pytest.approx(0.6, abs=0.03)
    assert data["best"] == {"mse": "mse-lr=0.1-0a"}
    text = texts(results)["report.md"].decode()
    assert "failed: mse-lr=1-0b/seed=0: ValueError: lr" in text
    assert "Varied: optimizer.lr." in text
    assert text.index("## Best configuration for each loss") < text.index("## Configurations")


def test_a_sweep_over_a_losss_own_option_keeps_its_settings_apart(tmp_path):
    runs = [("map_gaussian", {"_target_": "losslab.losses.MAP", "std": std}) for std in (0.1, 1.0)]
    runs.append(("mse", {"_target_": "losslab.losses.SquaredError"}))
    for index, (loss, options) in enumerate(runs):
        for rate in (0.01, 0.1):
            config = {"loss": options, "optimizer": {"lr": rate}}
            write_run(tmp_path, f"{loss}-{index}-lr={rate:g}/seed=0", config=config)
    found = sweep(load_runs(tmp_path))
    assert found.shown == ("loss.std", "optimizer.lr")
    curves = {configuration_text(found, configuration) for configuration in found.configurations}
    assert curves == {"map_gaussian, loss.std=0.1", "map_gaussian, loss.std=1", "mse"}


def test_what_is_equally_good_is_sorted_by_loss_and_number(tmp_path):
    found = [("mse", 0.1), ("mse", 1e-05), ("mse", 0.02), ("mse", "none"), ("focal", 10.0)]
    for index, (loss, rate) in enumerate(found):
        write_run(tmp_path, f"{loss}-lr={rate}-{index}/seed=0", config={"optimizer": {"lr": rate}})
    ordered = sweep(load_runs(tmp_path)).configurations
    assert [(each.loss, each.varied["optimizer.lr"]) for each in ordered] == [
        ("focal", 10.0),
        ("mse", 1e-05),
        ("mse", 0.02),
        ("mse", 0.1),
        ("mse", "none"),
    ]


def test_what_a_study_has_so_far_is_drawn(tmp_path):
    only = {run_name("mse", rate, seed) for rate in (0.01, 0.1) for seed in (0, 1, 2)}
    plan = tiny_plan() | {"confirm": [], "chosen": {}}
    results = build(write_study(tmp_path, plan, only=only.__contains__))
    assert [path.name for path in results if path.suffix == ".png"] == ["accuracy_by_value.png"]


def test_one_rate_a_loss_is_no_curve(tmp_path):
    for loss, rate in (("mse", 0.1), ("brier", 0.01)):
        write_run(tmp_path, f"{loss}-lr={rate:g}-0a/seed=0", config={"optimizer": {"lr": rate}})
    assert [path.name for path in build(tmp_path)] == [
        "report.md",
        "results.json",
        "report.html",
    ]


def test_figures_of_an_earlier_report_do_not_stay(report, tmp_path):
    (page,) = [path for path in report if path.name == "report.md"]
    out = shutil.copytree(page.parent, tmp_path / "out")
    assert list((out / "figures").iterdir())
    plan = tiny_plan() | {"confirm": [], "chosen": {}}
    build(write_study(tmp_path / "begun", plan, only=lambda name: False), out=out)
    assert list((out / "figures").iterdir()) == []


def test_a_folder_of_studies_and_sweeps_is_reported_one_by_one(tmp_path):
    plan, begun = tiny_plan() | {"confirm": [], "chosen": {}}, run_name("mse", 0.1, 0)
    write_study(tmp_path / "outputs" / "tiny", plan, only=begun.__eq__)
    write_run(tmp_path / "outputs" / "runs", "mse-0a/seed=0")
    (tmp_path / "outputs" / "notes").mkdir()
    for out in (None, tmp_path / "elsewhere"):
        console = Console(width=80, file=io.StringIO())
        write(tmp_path / "outputs", console=console, out=out)
        where = out or tmp_path / "outputs"
        assert {path.parent.name for path in where.glob("*/report.md")} == {"runs", "tiny"}
        assert "A tiny study" in console.file.getvalue()
        # One run, one seed: a number without an interval.
        text = (where / "runs" / "report.md").read_text()
        assert re.search(r"\| mse-0a \| mse \| 1 \| \d\d\.\d% \|", text)
    # The next report is of the runs again, not of the results.
    assert not (tmp_path / "outputs" / "README.md").exists()


def test_reports_without_runs_are_a_page_of_claims(report, tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "results.json").write_bytes(texts(report)["results.json"])
    write(tmp_path, console=Console(file=io.StringIO()))
    assert "A statement called naive." in (tmp_path / "README.md").read_text()


def test_a_folder_without_runs_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="holds no runs; give the folder of a study or a sweep"):
        build(tmp_path)


def test_a_damaged_run_does_not_stop_a_report(tiny_study, tmp_path):
    root = tmp_path / "tiny"
    shutil.copytree(tiny_study, root)
    spoiled = root / run_name("mse", 0.1, 100) / "predictions.safetensors"
    spoiled.write_bytes(b"nothing")
    build(root)
    (damaged,) = runs_in(root)["damaged"]
    assert "predictions.safetensors cannot be read" in damaged


def test_a_report_needs_no_torch_and_loads_matplotlib_where_it_draws():
    code = (
        "import sys, losslab.report\n"
        "print('matplotlib' in sys.modules)\n"
        "import losslab.report.figures\n"
        "print([name for name in ('torch', 'hydra', 'omegaconf') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "[]"]
