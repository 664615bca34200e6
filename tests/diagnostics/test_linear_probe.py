import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from losslab.data import load
from losslab.data.cache import NotDownloadedError
from losslab.diagnostics import DiagnosticRunner, LinearProbe, linear_probe
from losslab.diagnostics.linear_probe import fit, scores
from losslab.models import SmallCNN
from losslab.types import Batch
from running import read, records
from viewing import view

CLASSES = [3, 0, 1]  # of four
PENALTIES = [0.001, 0.1]


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SmallCNN((1, 16, 16), 4, width=1)


def measure(model, **options):
    images, labels = load("synthetic").tensors("train")
    probe = Batch(images[:8].double(), labels[:8])
    options = {"data": "synthetic", "classes": CLASSES, "penalties": PENALTIES} | options
    return LinearProbe(**options).measure(view(model=model, probe=probe)).scalars


def by_scikit_learn(model):
    """Return what the probe should give, an image at a time."""
    dataset, inputs = load("synthetic"), []
    h, labels = {}, {}
    with torch.no_grad(), model.output.register_forward_pre_hook(lambda _, x: inputs.append(x[0])):
        for part in ("train", "val", "test"):
            images, answers = dataset.tensors(part)
            kept = [i for i, y in enumerate(answers.tolist()) if y in CLASSES]
            inputs.clear()
            for i in kept:
                model(images[i : i + 1].double())
            h[part] = torch.cat(inputs).numpy()
            labels[part] = [CLASSES.index(int(answers[i])) for i in kept]
    centre, scale = h["train"].mean(0), np.sqrt(((h["train"] - h["train"].mean(0)) ** 2).mean())
    h = {part: (each - centre) / scale for part, each in h.items()}
    found = {}
    for penalty in PENALTIES:
        fitted = LogisticRegression(C=1 / (penalty * len(h["train"])), tol=1e-10, max_iter=10_000)
        fitted.fit(h["train"], labels["train"])
        found[penalty] = [fitted.score(h[part], labels[part]) for part in ("val", "test")]
    best = max(sorted(found, reverse=True), key=lambda penalty: found[penalty][0])
    return {"val/accuracy": found[best][0], "accuracy": found[best][1], "penalty": best}


@pytest.mark.parametrize("penalty", [1.0, 0.01, 0.0001])
@pytest.mark.parametrize("num_classes", [2, 5])
def test_the_fit_against_scikit_learn(penalty, num_classes):
    draw = torch.Generator().manual_seed(num_classes)
    labels = torch.arange(80) % num_classes
    h = torch.randn(80, 7, generator=draw, dtype=torch.float64)
    h[:, 0] += labels
    weights = fit(h, labels, penalty=penalty, start=torch.zeros(num_classes, 8))
    # Of two classes scikit-learn fits the difference of the scores: ‖W‖² is half of its ‖w‖².
    c = (2 if num_classes == 2 else 1) / (penalty * 80)
    other = LogisticRegression(C=c, tol=1e-12, max_iter=100_000).fit(h, labels)
    p = scores(weights, h).softmax(1).numpy()
    np.testing.assert_allclose(p, other.predict_proba(h), atol=1e-3)
    # The same from elsewhere.
    again = fit(h, labels, penalty=penalty, start=torch.ones(num_classes, 8))
    np.testing.assert_allclose(p, scores(again, h).softmax(1).numpy(), atol=1e-3)


def test_a_probe_against_scikit_learn(network):
    expected = by_scikit_learn(network.double().eval())
    assert measure(network) == pytest.approx(expected)
    assert 1 / 3 < expected["accuracy"] < 1
    # It chooses by validation, the larger of two that do equally well.
    assert measure(network, penalties=[1e-7, 1e-8])["penalty"] == 1e-7


def test_the_penalty_is_chosen_by_validation_and_not_by_test(network, monkeypatch):
    source = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 16, 16, generator=source, dtype=torch.float64)
    labels = {"train": [0, 1, 2, 0], "val": [0, 0, 0, 1], "test": [1, 1, 1, 0]}
    parts = {part: Batch(images, torch.tensor(each)) for part, each in labels.items()}
    monkeypatch.setattr(LinearProbe, "_part", lambda self, dataset, part: parts[part])
    always = {1.0: 1, 0.1: 0, 0.01: 1}  # the class that is answered

    def answer(h, y, *, penalty, start):
        weights = torch.zeros_like(start, dtype=torch.float64)
        weights[always[penalty], -1] = 1.0
        return weights

    monkeypatch.setattr(linear_probe, "fit", answer)
    found = measure(network.double(), penalties=[*always])
    assert found == {"accuracy": 0.25, "val/accuracy": 0.75, "penalty": 0.1}


def test_sizes_keep_the_classes_in_their_proportions(network, monkeypatch):
    given = []

    def spied(h, y, **options):
        given.append(y)
        # Centred and scaled by the images that are fitted, whatever the others are.
        torch.testing.assert_close(h.mean(0), torch.zeros_like(h[0]))
        assert h.square().mean().item() == pytest.approx(1)
        return fit(h, y, **options)

    monkeypatch.setattr(linear_probe, "fit", spied)
    found = measure(network, train_size=30, val_size=6, test_size=9, penalties=[0.1])
    assert given[0].bincount().tolist() == [10, 10, 10]
    assert found["val/accuracy"] * 6 == pytest.approx(round(found["val/accuracy"] * 6))
    assert found["accuracy"] * 9 == pytest.approx(round(found["accuracy"] * 9))
    # The same images whatever was drawn before.
    torch.rand(1)
    assert measure(network, train_size=30, val_size=6, test_size=9, penalties=[0.1]) == found


class NoOutput(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(256, 4))


class Constant(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value, self.output = value, nn.Linear(3, 4)

    def forward(self, images):
        return self.output(torch.full((len(images), 3), self.value, dtype=torch.float64))


class Rounded(Constant):
    def forward(self, images):
        rounding = 1e-7 * images.flatten(1)[:, :3].tanh()
        return self.output(self.value + rounding.double())


@pytest.mark.parametrize(
    "model", [NoOutput(), Constant(1.0), Constant(math.inf), Rounded(1.0).double()]
)
def test_what_cannot_be_computed_is_absent(model):
    assert measure(model) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": [1]}, r"classes=\[1\]; give two or more labels ≥ 0, each once"),
        ({"classes": [1, 1]}, r"classes=\[1, 1\]; give two or more"),
        ({"classes": [-1, 1]}, r"classes=\[-1, 1\]; give two or more"),
        ({"classes": [1, 4]}, r"classes=\[1, 4\]; data=synthetic has labels from 0 to 3"),
        ({"train_size": 0}, "train_size=0; give a number of images ≥ 1, or null"),
        ({"penalties": []}, r"penalties=\[\]; give one or more numbers above 0"),
        ({"penalties": [1.0, 0.0]}, r"penalties=\[1.0, 0.0\]; give one or more"),
        ({"data": "mine"}, "unknown data 'mine'; allowed are cifar10, "),
    ],
)
def test_what_is_out_of_range_is_named(network, options, message):
    with pytest.raises(ValueError, match=message):
        measure(network, **options)


def test_other_shapes_are_refused():
    small = view()  # 4x4
    with pytest.raises(ValueError, match=r"data=synthetic has images of .* give data of the same"):
        LinearProbe(data="synthetic").measure(small)


def test_data_that_are_not_there_are_no_failure_of_a_plan(monkeypatch):
    def absent(*_):
        raise NotDownloadedError("Fashion-MNIST is not on this machine")

    monkeypatch.setattr(linear_probe, "_read", absent)
    seen = view()
    runner = DiagnosticRunner(
        {"linear_probe": LinearProbe(data="fashion_mnist")},
        model=seen.model,
        objective=seen.objective,
        probe=seen.probe,
    )
    with pytest.raises(NotDownloadedError):
        runner.after_training({}, val=None, test=None)


def test_in_a_run(losslab):
    words = ("diagnostics=linear_probe", "model=small_cnn", "model.width=2", "data.num_classes=2")
    other = ("diagnostics.linear_probe.classes=[2,3]", "diagnostics.linear_probe.every=2")
    run = losslab.run(*words, *other)
    assert "data: synthetic" in (run / "config.yaml").read_text("utf-8")
    found = [r for r in records(run) if "why/linear_probe/accuracy" in r]
    assert [r["epoch"] for r in found] == [0, 2]  # the first is the floor
    seen = read(run / "summary.json")
    assert seen["why/linear_probe/accuracy"] == found[-1]["why/linear_probe/accuracy"]
    assert seen["why/linear_probe/penalty"] in (1.0, 0.1, 0.01, 0.001, 0.0001)
    # Nothing of it changes the training.
    plain = losslab.run("diagnostics=none", *words[1:])
    assert read(plain / "summary.json").items() <= seen.items()
