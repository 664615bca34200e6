"""The search: equal budgets, and a search that was killed ends as one that was not."""

import os
import signal
import subprocess
import sys
import time

import pytest

from running import TINY, read, results

pytest.importorskip("optuna", reason="needs optuna, which the dev group installs")

SEARCH = (
    *("sweeper=optuna", "sweeper.trials=5", "sweeper.at_once=2", "sweeper.startup_trials=2"),
    *("loss=cross_entropy,mse", "optimizer.lr=tag(log,interval(0.001,100))"),
    *("model.width=choice(4,8)", "model=mlp", "trainer.epochs=1", "seed=0,1"),
)


def searches(losslab, name: str = "runs") -> list[dict]:
    return read(losslab.folder / "outputs" / name / "search.json")


def test_each_loss_has_the_same_budget_and_a_best_value(losslab):
    out = losslab.sweep(*SEARCH, "sweeper.trials=3").out  # one after the two at random
    first, second = searches(losslab)
    assert [first["search"], second["search"]] == ["loss=cross_entropy", "loss=mse"]
    for found in (first, second):
        assert found["finished"] == len(found["values"]) == 3
        assert [value["trial"] for value in found["values"]] == [0, 1, 2]
        assert all(0.001 <= value["params"]["optimizer.lr"] <= 100 for value in found["values"])
        assert found["best"]["value"] == max(value["value"] for value in found["values"])
        assert f"optimizer.lr={found['best']['params']['optimizer.lr']}" in out
    # The values are the runs' own: means over the seeds.
    accuracy: dict[tuple, list[float]] = {}
    for run in losslab.runs():
        config = (run / "config.yaml").read_text()
        key = ("CrossEntropy" in config, config.split("  lr: ")[1].split("\n")[0])
        accuracy.setdefault(key, []).append(read(run / "summary.json")["val/accuracy"])
    assert all(len(values) == 2 for values in accuracy.values())
    for found in (first, second):
        for value in found["values"]:
            key = ("cross" in found["search"], str(value["params"]["optimizer.lr"]))
            assert value["value"] == pytest.approx(sum(accuracy[key]) / 2)


@pytest.mark.slow
def test_more_trials_go_on_where_the_search_was(losslab):
    losslab.sweep(*SEARCH, "sweeper.trials=2")
    before = searches(losslab)
    runs = {run: (run / "status.json").stat().st_mtime_ns for run in losslab.runs()}
    losslab.sweep(*SEARCH)
    after = searches(losslab)
    for old, new in zip(before, after, strict=True):
        assert new["values"][:2] == old["values"]
        assert new["finished"] == 5
    assert all((run / "status.json").stat().st_mtime_ns == then for run, then in runs.items())
    again = losslab.sweep(*SEARCH)
    assert "runs" not in again.out.splitlines()[0]
    assert searches(losslab) == after
    # Other runs are another search: nothing is mixed, nothing written over.
    losslab.sweep(*SEARCH, "trainer.epochs=2")
    assert {s["study"] for s in searches(losslab)}.isdisjoint(s["study"] for s in after)
    assert len(losslab.runs()) == 40


@pytest.mark.slow  # processes that import torch
def test_a_search_that_is_killed_ends_as_one_that_is_not(losslab):
    losslab.sweep(*SEARCH, "name=whole")
    command = [sys.executable, "-m", "losslab", "train", "-m", *TINY, *SEARCH, "name=killed"]
    folder = losslab.folder / "outputs" / "killed"
    for finished in (3, 11):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and len(list(folder.glob("*/*/summary.json"))) < finished:
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
    with (folder / "optuna.journal").open("a") as journal:
        journal.write('{"op_code": 4, "half a li')
    losslab.sweep(*SEARCH, "name=killed")
    whole, killed = (searches(losslab, name) for name in ("whole", "killed"))
    for one, other in zip(whole, killed, strict=True):
        assert one["values"] == other["values"]
    for one, other in zip(losslab.runs("whole"), losslab.runs("killed"), strict=True):
        assert one.parent.name == other.parent.name
        assert results(one) == results(other)


@pytest.mark.slow
def test_a_metric_that_no_run_has(losslab):
    result = losslab.call("train", "-m", *TINY, *SEARCH, "sweeper.metric=val/acc")
    assert result.code == 2
    assert "sweeper.metric=val/acc" in result.err


@pytest.mark.slow
def test_two_commands_do_not_search_in_one_folder(losslab):
    import fcntl

    losslab.sweep(*SEARCH, "sweeper.trials=1")
    with (losslab.folder / "outputs" / "runs" / "optuna.journal").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = losslab.call("train", "-m", *TINY, *SEARCH)
    assert result.code == 2
    assert "another command is searching" in result.err


def test_a_diverged_trial_counts(losslab):
    losslab.sweep(
        *("sweeper=optuna", "sweeper.trials=2", "loss=mse", "optimizer.lr=interval(1e20,1e30)"),
        "sweeper.metric=val/nll",
        "sweeper.direction=minimize",
    )
    (found,) = searches(losslab)
    assert found["finished"] == 2
    assert [value["value"] for value in found["values"]] == [None, None]
