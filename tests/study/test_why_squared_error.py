"""The headline study, tiny: tune, choose, confirm, report; and again, for nothing."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from running import read, status

ARMS = {"cross_entropy", "mse", "mse_softmax", "brier", "map_gaussian"}
TINY_STUDY = (
    *("study", "why_squared_error", "data=synthetic", "model.width=2", "trainer.device=cpu"),
    *("trainer.epochs=1", "trainer.batch_size=64", "launcher=serial"),
    *("study.values=[0.03,0.3]", "study.tune_seeds=[0]", "study.confirm_seeds=[100,101]"),
)


def runs(folder: Path) -> list[Path]:
    return sorted((folder / "outputs" / "why_squared_error").glob("*/seed=*"))


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for run in runs(folder) for path in run.iterdir()}


@pytest.mark.slow
def test_tune_then_confirm_then_again(losslab):
    result = losslab.call(*TINY_STUDY)
    assert result.code == 0, result.err
    root = losslab.folder / "outputs" / "why_squared_error"
    plan = read(root / "study.json")
    assert {status(run) for run in runs(losslab.folder)} <= {"done", "diverged"}
    tune = {(entry["arm"], entry["value"], entry["seed"]) for entry in plan["tune"]}
    assert tune == {(arm, value, 0) for arm in ARMS for value in (0.03, 0.3)}
    check_choice(root, plan)
    confirm = {(e["arm"], e["rate"], e["value"], e["seed"]) for e in plan["confirm"]}
    chosen = plan["chosen"]
    rates = {"own": chosen, "reference": dict.fromkeys(ARMS, chosen["cross_entropy"])}
    assert confirm == {
        (arm, rate, rates[rate][arm], seed) for arm in ARMS for rate in rates for seed in (100, 101)
    }
    planned = {root / entry["run"] for entry in plan["tune"] + plan["confirm"]}
    assert planned == set(runs(losslab.folder))
    assert "why_squared_error: tune" in result.out
    assert (root / "report.md").exists()

    before, numbers = stamps(losslab.folder), (root / "results.json").read_bytes()
    again = losslab.call(*TINY_STUDY)
    assert (again.code, again.err) == (0, "")
    assert stamps(losslab.folder) == before
    assert (root / "results.json").read_bytes() == numbers
    assert "why_squared_error: tune" not in again.out  # nothing to do, nothing to say

    other = losslab.call(*TINY_STUDY, "study.confirm_seeds=[100]").out
    assert f"replaces the report of `{plan['command']}`" in other
    back = losslab.call(*TINY_STUDY).out
    assert "'study.confirm_seeds=[100]'`, whose runs stay; output_dir=DIR keeps both" in back
    assert "replaces" not in losslab.call(*TINY_STUDY).out
    assert (root / "results.json").read_bytes() == numbers

    elsewhere = losslab.call("report", str(root), "--to", "copy")
    assert (elsewhere.code, elsewhere.err) == (0, "")
    assert (losslab.folder / "copy" / "results.json").read_bytes() == numbers
    assert list((losslab.folder / "copy" / "figures").glob("*.png"))


def check_choice(root: Path, plan: dict[str, Any]) -> None:
    """Each arm's value is the one with the highest validation accuracy, or the one given."""
    assert set(plan["chosen"]) == ARMS
    assert plan["chosen"] == plan["chosen"] | plan["given"]
    for arm, value in plan["chosen"].items():
        if arm in plan["given"]:
            continue
        accuracy = {
            entry["value"]: read(root / entry["run"] / "summary.json")["val/accuracy"]
            for entry in plan["tune"]
            if entry["arm"] == arm
        }
        assert accuracy[value] == max(accuracy.values())


@pytest.mark.slow
def test_trained_again_from_nothing_it_reports_the_same_bytes(losslab):
    root = losslab.folder / "outputs" / "why_squared_error"
    reports = []
    for _ in range(2):
        assert losslab.call(*TINY_STUDY).code == 0
        paths = (root / "report.md", root / "results.json", *(root / "figures").glob("*.png"))
        reports.append({path.name: path.read_bytes() for path in paths})
        shutil.rmtree(root)
    assert len(reports[0]) == 6
    assert reports[0] == reports[1]


@pytest.mark.slow
def test_a_failed_run_does_not_stop_the_study_and_is_made_up_for(losslab, monkeypatch):
    module = importlib.import_module("losslab.experiment.run")
    train = module.train

    def brittle(run, *arguments, **options):
        config = run.composed
        if config.optimizer.lr == 0.3 and config.loss._target_.endswith("MAP"):
            raise RuntimeError("out of luck")
        return train(run, *arguments, **options)

    root = losslab.folder / "outputs" / "why_squared_error"
    with monkeypatch.context() as patch:
        patch.setattr(module, "train", brittle)
        result = losslab.call(*TINY_STUDY)
    assert result.code == 1
    assert "out of luck" in result.err
    # Nobody knows what its best would have been.
    assert set(read(root / "study.json")["chosen"]) == ARMS - {"map_gaussian"}
    assert "failed" in (root / "report.md").read_text()
    (failed,) = {run.parent for run in runs(losslab.folder) if status(run) == "failed"}
    before = stamps(losslab.folder)

    assert losslab.call(*TINY_STUDY).code == 0
    assert {status(run) for run in runs(losslab.folder)} <= {"done", "diverged"}
    after = stamps(losslab.folder)
    kept = {path for path in before if path.parent.parent != failed}
    assert {path: after[path] for path in kept} == {path: before[path] for path in kept}
