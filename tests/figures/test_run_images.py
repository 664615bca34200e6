"""Images hold the right numbers; what they look like is looked at by people."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from scipy import special

from losslab import metrics, report
from losslab.data import build, synthetic
from losslab.experiment.data import load
from losslab.figures.run_images import (
    Recorded,
    confusion_matrix,
    first_layer,
    first_layer_filters,
    label_image,
    loss_plane,
    prior_density,
    read_recorded,
    reliability_diagram,
    run_images,
    worst_mistakes,
)
from losslab.figures.styles import LOSS_STYLES
from losslab.losses import GaussianPrior, LaplacePrior
from losslab.models import MLP, DeepCNN, Linear, ResNet20, SmallCNN
from losslab.recording import Run
from losslab.tensorboard import read_events
from report.factory import write_run
from running import LANDSCAPE

ALWAYS = {"confusion_matrix/val", "reliability/val", "weights/density"}
AXIS = np.linspace(-1, 1, 5)
X, Y = (grid.ravel() for grid in np.meshgrid(AXIS, AXIS))
CURVES = {
    "why/logit_gradients/profile": {"p_true": [0.1, 0.9], "mean": [1.0, 0.1], "count": [4.0, 9.0]},
    "why/landscape/line": {"position": [0.0, 1.0], "loss": [2.0, 1.0]},
    "why/landscape/path": {"epoch": [0.0, 1.0, 2.0], "x": [-1.0, -0.5, 0.0], "y": [0.0, 0.5, 0.0]},
    "why/landscape/path_variance": {"direction": [1.0, 2.0], "share": [0.9, 0.1]},
    "why/landscape/surface": {"x": X.tolist(), "y": Y.tolist(), "loss": (X**2 + 0.1).tolist()},
}
CURVES["why/landscape/path_surface"] = CURVES["why/landscape/surface"]
SURFACE = {"loss_surface/line", "loss_surface/plane", "loss_surface/path"}


def recorded(seed=0, *, classes=4, predicted=None, curves=CURVES, weights=None):
    labels = np.arange(40) % classes
    predicted = labels if predicted is None else np.asarray(predicted)
    return Recorded(
        seed=seed,
        logits=3.0 * np.eye(classes)[predicted],
        labels=labels,
        weights={"a.weight": np.random.default_rng(seed).normal(size=(3, 1, 5, 5))}
        if weights is None
        else weights,
        curves=curves,
        class_names=[f"class {index}" for index in range(classes)],
    )


def test_there_is_an_image_for_all_that_was_recorded():
    shown = run_images([recorded(0), recorded(1)], name="mse-lr=0.1", loss="mse")
    assert set(shown) == ALWAYS | SURFACE | {"first_layer/filters", "gradient_profile/train"}
    for png, width, height in shown.values():
        assert Image.open(io.BytesIO(png)).size == (width, height)
        assert width == 350
    nothing = {name: {key: [] for key in columns} for name, columns in CURVES.items()}
    bare = recorded(curves=nothing, weights={"a.weight": np.zeros((3, 7))})
    assert set(run_images([bare], name="a", loss="mine")) == ALWAYS


@pytest.mark.slow
def test_the_same_numbers_give_the_same_bytes_and_another_name_others():
    one, same = (run_images([recorded()], name="a", loss="mse") for _ in range(2))
    assert one == same
    assert run_images([recorded()], name="b", loss="mse") != one


def test_long_names_of_classes_are_cut_visibly():
    names = ["T-shirt/top", "Ankle boot, leather", *"abc"]
    axis = confusion_matrix([replace(recorded(classes=5), class_names=names)]).axes[0]
    shown = [label.get_text() for label in axis.get_yticklabels()]
    assert shown[:2] == ["T-shirt/top", "Ankle boot,…"]


def test_a_confusion_matrix_adds_the_seeds():
    wrong = (np.arange(40) + (np.arange(40) < 2)) % 4  # the first two are taken for the next class
    axis = confusion_matrix([recorded(0, predicted=wrong), recorded(1)]).axes[0]
    texts = {text.get_position(): text.get_text() for text in axis.texts}
    expected = {(i, i): "19" if i < 2 else "20" for i in range(4)} | {(1, 0): "1", (2, 1): "1"}
    assert texts == expected
    assert "97.5% right" in axis.get_title(loc="left")
    assert not confusion_matrix([recorded(classes=40)]).axes[0].texts  # too many to be named


def test_reliability_pools_the_examples_of_all_seeds():
    wrong = (np.arange(40) + (np.arange(40) < 10)) % 4
    figure = reliability_diagram(
        [recorded(0, predicted=wrong), recorded(1)], style=LOSS_STYLES["mse"]
    )
    confidence = np.exp(3) / (np.exp(3) + 3)
    (_, line) = figure.axes[0].lines
    assert line.get_data() == (pytest.approx([confidence]), pytest.approx([70 / 80]))
    # The mean of the two seeds', not that of the pooled examples.
    ece = (abs(30 / 40 - confidence) + abs(1 - confidence)) / 2
    assert f"ECE {ece:.3f}" in figure.axes[0].get_title(loc="left")


def test_worst_mistakes_are_the_most_confident_ones():
    wrong = (np.arange(40) + (np.arange(40) % 13 == 5)) % 4
    run = recorded(predicted=wrong)
    run.logits[18] *= 2
    run.logits[5] *= 1.5
    worst = metrics.worst_mistakes(run.logits, run.labels)
    images = np.zeros((3, 3, 8, 12), np.uint8)
    axis = worst_mistakes(replace(run, mistakes=worst, mistaken=images)).axes[0]
    assert [text.get_text().split("\n")[0] for text in axis.texts] == [
        *("class 2 as class 3", "class 1 as class 2", "class 3 as class 0"),
    ]
    assert "Worst mistakes of 3" in axis.get_title(loc="left")
    none = replace(run, mistakes=np.zeros(0, int), mistaken=images[:0])
    assert worst_mistakes(none) is worst_mistakes(recorded()) is None


@pytest.mark.parametrize(
    ("prior", "config"),
    [
        (GaussianPrior(std=0.3), {"_target_": "losslab.losses.GaussianPrior", "std": 0.3}),
        (LaplacePrior(scale=0.2), {"_target_": "losslab.losses.LaplacePrior", "scale": 0.2}),
    ],
)
def test_a_priors_density_is_its_penalty(prior, config):
    x = np.linspace(-9, 9, 100_001)
    name, density = prior_density(config, x)
    assert type(prior).__name__.removesuffix("Prior") in name
    assert np.trapezoid(density, x) == pytest.approx(1, abs=1e-6)
    penalty = [prior([torch.tensor(value)]).item() for value in (0.0, 0.5)]
    ends = prior_density(config, np.array([0.0, 0.5]))[1]
    assert np.log(ends[0] / ends[1]) == pytest.approx(penalty[1] - penalty[0])
    assert prior_density({"_target_": "mine.Prior"}, x)[0] == prior_density({}, x)[0] == ""


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("model", [SmallCNN, DeepCNN, ResNet20, MLP, Linear])
def test_the_first_layer_is_the_one_that_sees_the_image(model, channels):
    built = model((channels, 16, 16), 4)
    weights = {k: v.detach().numpy() for k, v in sorted(built.named_parameters())}
    first = next(p for p in built.parameters() if p.dim() > 1).detach().numpy()
    found = first_layer_filters(weights)
    assert found.shape[1] == channels
    assert np.array_equal(found.reshape(first.shape), first)
    assert first_layer(recorded(weights=weights)).axes


def test_a_model_that_begins_otherwise_has_no_filters():
    assert first_layer_filters({"a.weight": np.zeros((2, 7))}) is None
    assert first_layer_filters({"a.weight": np.zeros((2, 5, 3, 3))}) is None
    assert first_layer_filters({"a.bias": np.zeros(7)}) is None
    beside = first_layer_filters({"a.weight": np.zeros((2, 28 * 56))})
    assert beside.shape == (2, 1, 28, 56)


def test_a_plane_needs_losses_above_zero():
    negative = {**CURVES["why/landscape/surface"], "loss": [-1.0] * 25}
    assert loss_plane(recorded(curves={"why/landscape/surface": negative})) is None
    one = {**CURVES["why/landscape/surface"], "loss": [1.0] * 25}
    assert loss_plane(recorded(curves={"why/landscape/surface": one})).axes


def test_a_long_name_stays_in_the_image():
    figure = loss_plane(recorded())
    label_image(figure, "loss-" + "x" * 200)
    assert len(figure.get_suptitle().split("\n")) == 2


def test_what_a_run_left_is_read_or_is_not_there(tmp_path):
    path = write_run(tmp_path, "mse-0a/seed=3")
    assert read_recorded(Run.at(path)) is None  # without weights


@pytest.mark.slow
def test_a_run_draws_its_own_images_only_when_asked(losslab):
    quiet = losslab.run(*LANDSCAPE)
    asked = losslab.run(*LANDSCAPE, "trainer.pictures_every=1")
    assert quiet.parent.name == asked.parent.name  # no other configuration
    steps = [
        [
            (event.step, value.tag)
            for event in read_events(next(run.glob("events*")))
            for value in event.summary.value
            if value.HasField("image")
        ]
        for run in (quiet, asked)
    ]
    assert steps[0] == []
    per_epoch = {tag: [step for step, at in steps[1] if at == tag] for _, tag in steps[1]}
    assert all(len(at) == (1 if tag in SURFACE else 2) for tag, at in per_epoch.items())
    # It makes no mistakes.
    assert set(per_epoch) == ALWAYS | SURFACE | {"first_layer/filters", "gradient_profile/train"}
    run = read_recorded(Run.at(asked))
    names = build(synthetic(), val_size=30).class_names
    assert list(run.class_names) == list(names)
    assert run.logits.shape == (len(run.labels), len(names))


@pytest.mark.slow
def test_a_run_keeps_its_worst_mistakes_and_reports_show_them(losslab):
    folder = losslab.run("data=mnist5k", "data.train_size=200", "trainer.epochs=1")
    run = Run.at(folder)
    found = read_recorded(run)
    # As the images that a report draws, without the data.
    (wrong,) = np.nonzero(found.logits.argmax(axis=1) != found.labels)
    confidence = special.softmax(found.logits.astype(np.float64), axis=1).max(axis=1)
    assert len(wrong) > 0
    expected = sorted(wrong, key=lambda place: -confidence[place])[:15]
    assert found.mistakes.tolist() == expected
    images = load(OmegaConf.create(run.config["data"])).val.images
    assert np.array_equal(found.mistaken, images[expected].numpy())
    report.build(folder.parent.parent)
    for shown in ("over_seeds", "best"):
        (path,) = folder.parent.parent.glob(f"{shown}/*/events*")
        values = (value for event in read_events(path) for value in event.summary.value)
        assert "worst_mistakes/val" in {value.tag for value in values if value.HasField("image")}
