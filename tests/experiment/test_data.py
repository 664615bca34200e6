"""Data that may change: images of one's own, and custom sources."""

import shutil
import sys
import textwrap

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from bad import check
from losslab import experiment
from losslab.experiment import data
from running import TINY, records, status

SIZE = 8


@pytest.fixture
def images(losslab):
    """Two classes of twelve images, some dark and some bright."""
    for part, count in (("train", 40), ("test", 6)):
        for number in range(count):
            add(losslab, f"{part}/{'ab'[number % 2]}/{number}.png", number)
    return "data=image_folder", "data.root=images"


def add(losslab, name, seed):
    file = losslab.folder / "images" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


CHANGES = {
    "one more": lambda folder: shutil.copy(folder / "test/a/0.png", folder / "train/a/new.png"),
    "one less": lambda folder: (folder / "train/b/1.png").unlink(),
    "another content": lambda folder: shutil.copy(
        folder / "train/a/2.png", folder / "train/a/0.png"
    ),
    "another test image": lambda folder: shutil.copy(
        folder / "test/a/2.png", folder / "test/a/0.png"
    ),
    "another class name": lambda folder: [
        (folder / part / "b").rename(folder / part / "c") for part in ("train", "test")
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_changed_images_are_another_run(losslab, images, change):
    losslab.train(*images)
    CHANGES[change](losslab.folder / "images")
    assert "already finished" not in losslab.train(*images).out
    groups = {run.parent.name for run in losslab.runs()}
    assert len(groups) == 2
    report = losslab.call("report", "outputs/runs")
    assert report.code == 0
    assert "data_sha256" in report.out + (losslab.folder / "outputs/runs/report.md").read_text()


def test_moved_and_copied_images_are_the_same_run(losslab, images):
    losslab.train(*images)
    (losslab.folder / "images").rename(losslab.folder / "moved")
    assert "already finished" in losslab.train("data=image_folder", "data.root=moved").out
    shutil.copytree(losslab.folder / "moved", losslab.folder / "copy")
    losslab.sweep("data=image_folder", "data.root=copy,moved", "seed=0,1")
    assert [run.name for run in losslab.runs()] == ["seed=0", "seed=1"]


def test_what_was_read_is_in_the_log_and_told_on_request(losslab, images):
    (losslab.folder / "images/train/.DS_Store").write_text("")
    losslab.train(*images)
    (run,) = losslab.runs()
    assert [status(run), len(records(run)) > 0] == ["done", True]
    lines = (
        "images: images of 3x8x8, 2 classes",
        "train: 36 images (a: 18, b: 18)",
        "val: 4 images (a: 2, b: 2)",
        "test: 6 images (a: 3, b: 3)",
        "6 images of the test part are also in the training part",
        "skipped 1: hidden files and folders, and files left by programs",
    )
    log = (run / "log.txt").read_text()
    assert [line for line in lines if f"data: {line}" not in log] == []
    code, out, err = losslab.call("data", "image_folder", "data.root=images")
    assert (code, out.splitlines(), err) == (0, list(lines), "")
    for part in ("train", "test"):
        (losslab.folder / "images" / part / "a").rename(
            losslab.folder / "images" / part / "a\n\x1b[31m"
        )
    data.forget()
    code, out, err = losslab.call("data", "image_folder", "data.root=images")
    assert out.splitlines()[1] == r"train: 36 images (a \x1b[31m: 18, b: 18)"


def test_a_run_in_the_home_folder(losslab, images, monkeypatch):
    monkeypatch.setenv("HOME", str(losslab.folder))
    losslab.train("data=image_folder", "data.root=~/images")
    assert len(losslab.runs()) == 1


def test_a_change_while_a_sweep_is_under_way_is_found_before_training(losslab, images):
    with experiment.Composer() as composer:
        full = composer.compose([*TINY, *images, "seed=3"])
        config = experiment.compose.without_hydra(full)
        run = experiment.plan_run(config, experiment.choices_of(full.hydra))
        add(losslab, "train/a/new.png", 0)
        data.forget()  # as in a worker process
        assert experiment.perform([run]) == ["failed"]
    assert "have changed since the command began" in run.reason
    kept = OmegaConf.load(run.files.config)
    assert kept.data_sha256 == run.composed.data_sha256


SOURCE = """
import torch
from losslab.data import Source

def source(*, root, shade=0):
    images = torch.arange(40 * 64).remainder(200).to(torch.uint8).reshape(40, 1, 8, 8) + shade
    labels = torch.arange(40) % 2
    return Source("mine", images, labels, images, labels, 2, ("a", "b"))

def torch_dataset(*, root):
    return torch.utils.data.TensorDataset(torch.zeros(4, 1, 8, 8), torch.zeros(4))

def one_class(*, root):
    images, labels = torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)
    return Source("mine", images, labels, images, labels, 1, ("a",))

def arrays(*, root):
    images, labels = torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)
    return Source("mine", images.numpy(), labels.numpy(), images, labels, 2, ("a", "b"))
"""


@pytest.fixture
def custom(losslab, request):
    """A custom source in a module of the working folder."""
    (losslab.folder / "my_data.py").write_text(textwrap.dedent(SOURCE))
    (losslab.folder / "my_conf" / "data").mkdir(parents=True)
    (losslab.folder / "my_conf" / "data" / "mine.yaml").write_text(
        "_target_: losslab.data.load\n"
        "source: {_target_: my_data.source, _partial_: true}\n"
        "dataset: mine\nroot: a\nval_size: 8\n"
    )
    yield "--config-dir", "my_conf", "data=mine"
    sys.modules.pop("my_data", None)


def test_every_argument_of_a_custom_source_counts(losslab, custom):
    losslab.sweep(*custom, "data.root=a,b")
    assert len(losslab.runs()) == 2


def test_a_custom_source_that_gives_other_data_makes_another_run(losslab, custom):
    losslab.train(*custom)
    assert "already finished" in losslab.train(*custom).out
    file = losslab.folder / "my_data.py"
    file.write_text(file.read_text().replace("shade=0", "shade=1"))
    sys.modules.pop("my_data", None)
    # Bytecode is told from its source by its size and the second of its last change.
    shutil.rmtree(losslab.folder / "__pycache__", ignore_errors=True)
    losslab.train(*custom)
    assert len(losslab.runs()) == 2


BAD_SOURCES = {
    "torch_dataset": ("TensorDataset, not losslab.data.Source", "losslab.data.Source('mine',"),
    "one_class": ("num_classes=1; give 2 or more",),
    "arrays": ("ndarray", "torch.from_numpy"),
}


@pytest.mark.parametrize("name", BAD_SOURCES)
def test_a_custom_source_that_gives_something_else(losslab, custom, name):
    command = ("train", *TINY, *custom, f"data.source._target_=my_data.{name}")
    shutil.rmtree(losslab.folder / "__pycache__", ignore_errors=True)
    check(losslab, command, BAD_SOURCES[name])


def test_a_torch_dataset_in_place_of_all(losslab, custom):
    (losslab.folder / "my_conf" / "data" / "mine.yaml").write_text(
        "_target_: my_data.torch_dataset\nroot: a\n"
    )
    command = ("train", *TINY, *custom)
    check(
        losslab,
        command,
        ("returns TensorDataset, not losslab.data.Dataset", "returns losslab.data.S"),
    )
