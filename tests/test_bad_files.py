"""What lies on the disk and is wrong: losses of one's own, checkpoints, data, directories."""

import gzip
import io
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

from bad import SYNTHETIC, check, synthetic
from running import TINY

OWN = """
import torch
from losslab.losses import Loss

class Wide(Loss):
    def per_example(self, logits, target):
        return logits

class Raises(Loss):
    def per_example(self, logits, target):
        raise KeyError("a key of mine")

class Detached(Loss):
    def per_example(self, logits, target):
        return logits.detach().sum(dim=1)

class Unfinished(Loss):
    pass

class Net(torch.nn.Module):
    def __init__(self, input_shape, num_classes, *, features: int, outputs: int):
        super().__init__()
        self.layer = torch.nn.Linear(features, outputs)

    def forward(self, images):
        return self.layer(images.flatten(1))

def number():
    return 3
"""
LOSS = "~loss.label_smoothing loss._target_=own."
NET = (
    "~model.width ~model.normalization ~model.output_scale ~model.output_bias "
    "model._target_=own.Net "
)


@pytest.mark.parametrize(
    "case",
    [
        synthetic(LOSS + "Wide", "Wide", "(2, 4)", "(2,)"),
        synthetic(LOSS + "Raises", "Raises", "a key of mine"),
        synthetic(LOSS + "Detached", "Detached", "no gradient"),
        synthetic(LOSS + "Unfinished", "Unfinished", "per_example"),
        synthetic(LOSS + "Wied", "own.Wied", "did you mean 'Wide'"),
        synthetic(LOSS + "number", "own.number", "Module"),
        synthetic("loss._target_=broken.Loss", "broken.Loss", "SyntaxError"),
        synthetic(NET + "+model.features=256 +model.outputs=5", "(2, 5)", "(2, 4)"),
        synthetic(NET + "+model.features=3 +model.outputs=4", "(2, 1, 16, 16)", "shapes"),
        synthetic(NET + "+model.features=256", "model.outputs", "no value"),
        synthetic(NET + "+model.features=x +model.outputs=4", "model.features=x", "whole number"),
    ],
    ids=str,
)
def test_a_loss_or_model_of_ones_own_that_cannot_do_its_work(losslab, case, monkeypatch):
    (losslab.folder / "own.py").write_text(OWN)
    (losslab.folder / "broken.py").write_text("x = (")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "own", raising=False)
    check(losslab, *case)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("_target_: losslab.losses.Focal\ngama: 1\n", ("'loss.gama'", "'loss.gamma'")),
        ("_target_: losslab.losses.Focal\ngamma: ???\n", ("loss.gamma", "no value")),
        ("_target_: losslab.losses.Focal\ngamma: ${nowhere}\n", ("nowhere", "loss.gamma")),
        ("gamma: 1\n", ("loss._target_",)),
        ("", ("loss._target_",)),
        ("- 1\n", ("loss=[1]",)),
        ("a: [\n", ("loss/mine.yaml", "line 2")),
        ("defaults: [nowhere]\n", ("loss/mine", "loss/nowhere")),
    ],
)
def test_a_choice_of_ones_own_that_is_broken(losslab, content, says):
    choice = losslab.folder / "my_conf" / "loss" / "mine.yaml"
    choice.parent.mkdir(parents=True)
    choice.write_text(content)
    where = ("--config-dir", "my_conf")
    check(losslab, (*SYNTHETIC, *where, "loss=mine"), says)
    check(losslab, (*SYNTHETIC, *where, "loss=mein"), ("'mein'", "did you mean 'mine'"))


@pytest.mark.slow
def test_a_checkpoint_that_is_cut_off_or_something_else(losslab):
    run = losslab.finished()
    (run / "status.json").write_text('{"status": "running"}')
    something_else = io.BytesIO()
    torch.save({"weights": torch.zeros(3)}, something_else)
    for content in (b"", b"junk", something_else.getvalue()[:-20], something_else.getvalue()):
        (run / "checkpoint.pt").write_bytes(content)
        check(losslab, ("train", *TINY), ("checkpoint.pt", "delete it"))
        check(losslab, ("train", "-m", *TINY, "seed=0,1"), ("checkpoint.pt", "delete it"))


OF_A_RUN = (
    *("status.json", "config.yaml", "manifest.json", "metrics.jsonl", "curves.jsonl", "log.txt"),
    *("summary.json", "model.safetensors", "predictions.safetensors", "checkpoint.pt"),
    *("events.out.tfevents.1.x", ".lock"),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_A_RUN)
@pytest.mark.parametrize("state", ["done", "running"])
def test_a_pipe_in_a_runs_folder_is_not_waited_for(losslab, name, state):
    run = losslab.finished()
    if state == "running":
        (run / "status.json").write_text('{"status": "running"}')
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    code, _, err = losslab.call("train", *TINY)
    assert (code, err.count("\n")) in ((0, 0), (2, 1)), err


@pytest.mark.parametrize("text", ["[" * 100_000, "a: " + "x" * 2**21, "a: ${b}${b}\nb: x\n"])
def test_a_configuration_that_never_ends(losslab, text):
    run = losslab.finished()
    (run / "config.yaml").write_text(text)
    check(losslab, ("train", *TINY), ("different configuration",))


def test_a_report_where_nothing_can_be_written(losslab):
    losslab.finished()
    check(losslab, ("report", "outputs", "--to", "/proc/1/nowhere"), ("/proc/1", "--to"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["summary.json", "metrics.jsonl", "manifest.json"])
def test_a_finished_run_without_one_of_its_files(losslab, name):
    run = losslab.finished()
    (run / name).unlink()
    for command in (("train", *TINY), ("train", "-m", *TINY, "seed=0,1")):
        check(losslab, command, (f"{name} is missing", "force=true"))
    assert losslab.call("train", *TINY, "force=true").code == 0


MNIST_FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_data_file_is_named(losslab, damage):
    raw = losslab.folder / "digits" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in MNIST_FILES:
        content = gzip.compress(b"\0" * 1000, mtime=0)
        cut = content[:-9] if damage == "truncated" else content
        (raw / f"{name}-ubyte.gz").write_bytes(cut)
    check(losslab, ("train", "data=mnist", "data.root=digits"), ("-ubyte.gz",))


def test_labels_beyond_the_classes(losslab):
    for part, classes in {"train": "ab", "test": "abc"}.items():
        for name in classes:
            for number in range(4):
                place = losslab.folder / "pictures" / part / name / f"{number}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 8), number).save(place)
    check(losslab, ("train", "data=image_folder", "data.root=pictures"), ("'c'", "same names"))


def test_an_output_directory_with_another_configuration(losslab):
    run = losslab.finished()
    config = run / "config.yaml"
    original = config.read_text()
    where = str(run.relative_to(losslab.folder))
    for content in (original.replace("lr: 0.05", "lr: 0.5"), "", "a: [", "seed: 0\n"):
        assert content != original
        config.write_text(content)
        check(losslab, ("train", *TINY), (where, "different configuration"))
    for more in (("-m", "seed=0,1"), ("force=true",)):
        check(losslab, ("train", *TINY, *more), (where, "different configuration"))
    config.write_text(original)
    assert losslab.call("train", *TINY).code == 0


@pytest.mark.slow
def test_bad_input_to_the_real_program(losslab):
    command = [sys.executable, "-m", "losslab", "train", "data=synthetic", "optimizer.lr=-1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "losslab: optimizer.lr=-1.0; give a number above 0\n"
    assert list(losslab.folder.iterdir()) == []
