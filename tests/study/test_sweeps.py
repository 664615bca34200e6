"""Sweeps: plain Hydra, finished runs are skipped, a failed one does not stop the others."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from running import TINY, read, records, results, status

ONE_EPOCH = "trainer.epochs=1"


def stamps(runs) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for run in runs for path in run.iterdir()}


def own_losses(folder: Path) -> None:
    """A user's own loss, beside their command: it fails in its fifth step."""
    (folder / "my_losses.py").write_text(
        "import os\n"
        "from losslab.losses import CrossEntropy\n"
        "class Brittle(CrossEntropy):\n"
        "    steps = 0\n"
        "    def per_example(self, logits, target):\n"
        "        if os.path.exists('break') and len(target) == 32:\n"
        "            Brittle.steps += 1\n"
        "            if Brittle.steps % 5 == 0:\n"
        "                raise RuntimeError('the loss of my own broke\\nin a step')\n"
        "        return super().per_example(logits, target)\n"
    )
    choice = folder / "my_conf" / "loss" / "brittle.yaml"
    choice.parent.mkdir(parents=True)
    choice.write_text("_target_: my_losses.Brittle\n")


def test_a_sweep_is_the_product_of_its_lists(losslab):
    result = losslab.sweep("loss=mse,brier", "optimizer.lr=0.1,0.2", "seed=range(2)", ONE_EPOCH)
    assert len(losslab.runs()) == 8
    assert {status(run) for run in losslab.runs()} == {"done"}
    told = result.out.splitlines()
    if told[0].startswith("checking 8 runs first"):  # where the machine is busy
        del told[0]
    first, second, best, took, *following = told
    assert (first, second) == ("sweep: 8 runs", "sweep: 8 done, 0 failed, 0 remaining")
    assert best.startswith("Best by validation accuracy: ")
    assert best.endswith("n = 2, of 4 configurations)")
    assert took.startswith("Time: ")
    assert following == [
        "Next: losslab report outputs/runs",
        "Next: losslab board outputs/runs",
    ]
    seen = set()
    for run in losslab.runs():
        config = OmegaConf.load(run / "config.yaml")
        seen.add((config.loss.class_reduction, config.optimizer.lr, config.seed))
        assert run.name == f"seed={config.seed}"
        assert "???" not in (run / "config.yaml").read_text()
    assert len(seen) == 8
    commands = {read(run / "manifest.json")["command"] for run in losslab.runs()}
    assert len(commands) == 8
    assert all(command.startswith("losslab train ") for command in commands)


def test_what_differs_in_the_seed_alone_is_checked_once(losslab, monkeypatch):
    module = importlib.import_module("losslab.experiment.run")
    build, built = module.build, []
    monkeypatch.setattr(module, "build", lambda config: built.append(config.seed) or build(config))
    losslab.sweep("loss=mse,brier", "seed=0,1,2", ONE_EPOCH)
    assert len(built) == 2 + 6  # before the first run, and each run its own


def test_finished_runs_are_not_touched(losslab):
    losslab.sweep("seed=0,1", ONE_EPOCH)
    first = losslab.runs()
    before = stamps(first)
    result = losslab.sweep("seed=0,1,2", ONE_EPOCH)
    assert stamps(first) == before
    assert len(losslab.runs()) == 3
    assert "sweep: 1 run\n" in result.out
    again = losslab.sweep("seed=0,1,2", ONE_EPOCH)
    assert "all 3 runs are already finished" in again.out
    assert stamps(first) == before


def test_force_runs_them_again_with_the_same_numbers(losslab):
    losslab.sweep("seed=0,1", ONE_EPOCH)
    before = {run: results(run) for run in losslab.runs()}
    changed = stamps(losslab.runs())
    losslab.sweep("seed=0,1", ONE_EPOCH, "force=true")
    assert {run: results(run) for run in losslab.runs()} == before
    assert not set(stamps(losslab.runs()).items()) & set(changed.items())


@pytest.mark.slow
def test_a_failed_run_is_named_logged_and_tried_again(losslab):
    own_losses(losslab.folder)
    (losslab.folder / "break").touch()
    command = ("train", "-m", *TINY, ONE_EPOCH, "loss=mse,brittle", "--config-dir", "my_conf")
    failed = losslab.call(*command)
    assert failed.code == 1
    brittle, mse = losslab.runs()
    assert (status(brittle), status(mse)) == ("failed", "done")
    (line,) = failed.err.splitlines()
    assert str(brittle.relative_to(losslab.folder)) in line
    assert "the loss of my own broke in a step" in line
    assert "log.txt" in line
    assert "sweep: 1 done, 1 failed, 0 remaining" in failed.out
    log = (brittle / "log.txt").read_text()
    assert "Traceback (most recent call last)" in log
    assert "RuntimeError: the loss of my own broke" in log
    assert "Traceback" not in (mse / "log.txt").read_text()
    error = read(brittle / "status.json")["error"]
    assert error == "RuntimeError: the loss of my own broke\nin a step"
    assert not (brittle / "model.safetensors").exists()

    again = losslab.call(*command)  # it fails sooner than anybody looks
    assert (again.code, len(again.err.splitlines())) == (1, 1)
    assert "sweep: 0 done, 1 failed, 0 remaining" in again.out

    before = stamps([mse])
    (losslab.folder / "break").unlink()
    mended = losslab.call(*command)
    assert (mended.code, mended.err) == (0, "")
    assert "sweep: 1 done, 0 failed, 0 remaining" in mended.out
    assert (status(brittle), status(mse)) == ("done", "done")
    assert stamps([mse]) == before
    assert records(brittle)[0]["step"] == 0
    plain = losslab.run("loss=cross_entropy", ONE_EPOCH)
    assert results(brittle)["model.safetensors"] == results(plain)["model.safetensors"]


def test_a_single_run_that_fails(losslab):
    own_losses(losslab.folder)
    (losslab.folder / "break").touch()
    result = losslab.call("train", *TINY, "loss._target_=my_losses.Brittle")
    (run,) = losslab.runs()
    assert (result.code, result.out) == (1, "")
    assert "the loss of my own broke" in result.err
    assert len(result.err.splitlines()) == 1
    assert status(run) == "failed"


def test_a_run_that_another_process_has_is_left_to_it(losslab):
    import fcntl

    losslab.train(ONE_EPOCH)
    (run,) = losslab.runs()
    for path in run.iterdir():
        path.unlink()
    holder = os.open(run, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        result = losslab.call("train", *TINY, ONE_EPOCH)
    finally:
        os.close(holder)
    assert result.code == 1
    assert str(run.relative_to(losslab.folder)) in result.err
    assert list(run.iterdir()) == []


@pytest.mark.slow  # three processes import torch
def test_all_cores_and_one_after_another_give_the_same_weights(losslab):
    overrides = ("model=small_cnn", "model.width=4", ONE_EPOCH, "seed=0,1,2")
    losslab.sweep(*overrides)
    command = [sys.executable, "-m", "losslab", "train", "-m", *TINY, *overrides]
    ended = subprocess.run(
        [*command, "launcher=joblib", "name=parallel"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert "sweep: 3 done, 0 failed, 0 remaining" in ended.stdout
    for serial, parallel in zip(losslab.runs(), losslab.runs("parallel"), strict=True):
        assert parallel.parent.name == serial.parent.name
        assert results(parallel) == results(serial)
        assert records(parallel) == records(serial)


@pytest.mark.parametrize("name", ["deep/er", "a.b-c_d"])
def test_names_of_folders(losslab, name):
    losslab.train(ONE_EPOCH, f"name={name}")
    (run,) = losslab.runs(name)
    assert status(run) == "done"
