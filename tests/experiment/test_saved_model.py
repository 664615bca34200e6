"""A finished run's model used elsewhere: raw images in, the run's own numbers out."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file

from bad import check
from losslab.data import build, synthetic
from losslab.experiment import evaluate_run, load_model
from running import read

CNN = ("model=small_cnn", "model.width=4", "model.normalization=batch", "loss=mse")
METRICS = ("accuracy", "nll", "brier", "ece")


@pytest.fixture
def run(losslab):
    return losslab.finished(*CNN)


def of_summary(run):
    summary = read(run / "summary.json")
    return {part: [summary[f"{part}/{m}"] for m in METRICS] for part in ("val", "test")}


def of_evaluation(run, *overrides):
    found = evaluate_run(run, overrides)
    return {part: [found[part][m] for m in METRICS] for part in ("val", "test")}


def test_it_takes_raw_images(run):
    saved = load_model(run)
    test = build(synthetic(), val_size=128).test
    stored = load_file(run / "predictions.safetensors")
    assert torch.equal(stored["test/labels"], test.labels)
    for images in (test.images, test.images / 255, test.images.double() / 255):
        with torch.no_grad():
            torch.testing.assert_close(saved(images), stored["test/logits"], rtol=0, atol=2e-5)
    assert not saved.training
    assert saved.class_names == ("pattern 0", "pattern 1", "pattern 2", "pattern 3")
    for images, says in [
        (test.images.float(), "from 0 to 255; give 0 to 1"),
        (test.images[:, :, 1:], r"give \(N, 1, 16, 16\)"),
        (test.images.long(), "int64"),
        (test.images.numpy(), "images are a ndarray; give a torch tensor"),
        ((test.images / 255 - 0.5) / 0.5, "without normalisation"),
    ]:
        with pytest.raises(ValueError, match=says):
            saved(images)


@pytest.mark.parametrize("place", [".", "my_conf"])
def test_a_custom_model_and_data_are_found_where_they_were_trained(losslab, monkeypatch, place):
    folder = losslab.folder / place
    folder.mkdir(exist_ok=True)
    (folder / "my_parts.py").write_text(
        "from losslab.data import synthetic\nfrom losslab.models import Linear\n"
        "class Mine(Linear): pass\n"
        "def blobs(seed): return synthetic(seed=seed)\n"
    )
    for name, text in {
        "model/mine.yaml": "_target_: my_parts.Mine\n",
        "data/mine.yaml": "_target_: losslab.data.load\ndataset: mine\nval_size: 9\n"
        "source: {_target_: my_parts.blobs, _partial_: true, seed: 0}\n",
    }.items():
        (losslab.folder / "my_conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (losslab.folder / "my_conf" / name).write_text(text)
    run = losslab.run("--config-dir=my_conf", "model=mine", "data=mine", "diagnostics=none")

    def forget():  # as in a process of its own
        monkeypatch.setattr(sys, "path", [p for p in sys.path if str(losslab.folder) not in p])
        monkeypatch.delitem(sys.modules, "my_parts", raising=False)
        monkeypatch.setenv("LOSSLAB_CODE", "")

    forget()
    assert type(load_model(run, config_dir=place).model).__name__ == "Mine"
    for command in (("evaluate", str(run)), ("data", "mine")):
        forget()
        result = losslab.call(*command, "--config-dir", "my_conf")
        assert (result.code, result.err) == (0, "")
        assert "test" in result.out


def test_what_is_kept_beside_the_weights(run):
    about, dataset = read(run / "model.json"), build(synthetic(), val_size=128)
    assert about["model"]["_target_"] == "losslab.models.SmallCNN"
    assert about["model"]["width"] == 4
    assert (about["input_shape"], about["num_classes"]) == ([1, 16, 16], 4)
    assert tuple(about["class_names"]) == dataset.class_names
    assert (about["mean"], about["std"]) == (list(dataset.mean), list(dataset.std))
    assert about["pixel_scale"] == 255
    assert "model.json" in read(run / "status.json")["sha256"]


@pytest.mark.parametrize("more", [(), ("trainer.precision=bfloat16",), ("data.label_noise=0.3",)])
def test_its_evaluation_is_the_runs(losslab, more):
    run = losslab.finished(*CNN, *more)
    assert of_evaluation(run) == of_summary(run)
    result = losslab.call("evaluate", str(run))
    assert (result.code, result.err) == (0, "")
    head, *lines = [line.split() for line in result.out.splitlines()]
    assert head == ["part", "examples", *METRICS]
    assert [line[:2] for line in lines] == [["train", "384"], ["val", "128"], ["test", "256"]]
    assert lines[2][2:] == [f"{number:.4f}" for number in of_summary(run)["test"]]


def test_a_run_without_that_file(losslab, run):
    (run / "model.json").unlink()
    check(losslab, ("evaluate", str(run)), ("has no model.json",))


def test_other_data(losslab, run):
    own = of_evaluation(run)
    # Normalised by the statistics of what it was trained on, not of what it is given.
    darker = evaluate_run(run, ["data.train_size=100"])
    assert [darker["test"][m] for m in METRICS] == own["test"]
    assert darker["train"]["examples"] == 100
    other = evaluate_run(run, ["data=synthetic", "data.source.noise=90"])
    assert other["test"]["accuracy"] < own["test"][0]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ("data.num_classes=3", ("3 classes", "4 and (1, 16, 16)")),
        ("data=mnist5k", ("10 classes", "(1, 28, 28)")),
        ("data=minst5k", ("did you mean 'mnist5k'",)),
        ("data.val_sise=3", ("'data.val_sise'", "'data.val_size'")),
        ("loss=mse", ("loss=mse", "evaluate takes data=")),
        ("optimizer.lr=1", ("optimizer.lr=1", "evaluate takes data=")),
        ("trainer.device=cdua", ("trainer.device=cdua",)),
        ("data.val_size=9999", ("9999",)),
        ("x", ("'x'", "key=value")),
    ],
)
def test_what_does_not_fit(losslab, run, overrides, says):
    check(losslab, ("evaluate", str(run), overrides), says)


def test_what_is_no_finished_run_or_was_altered(losslab, run):
    check(losslab, ("evaluate",), ("run", "losslab evaluate --help"))
    check(losslab, ("evaluate", "nowhere"), ("nowhere is not a finished run",))
    check(losslab, ("evaluate", str(run.parent)), ("is not a finished run",))
    for name in ("model.safetensors", "model.json", "config.yaml"):
        whole = (run / name).read_bytes()
        (run / name).write_bytes(whole.replace(b"1", b"2", 1) if name[-1] != "s" else whole[:-1])
        check(losslab, ("evaluate", str(run)), (name, "was cut off or altered", "force=true"))
        (run / name).write_bytes(whole)
    (run / "model.safetensors").unlink()
    check(losslab, ("evaluate", str(run)), ("has no model.safetensors",))


def test_the_same_classes_in_another_order(losslab, run):
    about = read(run / "model.json")
    about["class_names"].reverse()
    (run / "model.json").write_text(json.dumps(about))
    (run / "status.json").write_text('{"status": "done"}')
    check(losslab, ("evaluate", str(run)), ("in another order",))
