"""What is due when, and of which numbers."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from losslab.data import build, synthetic
from losslab.losses import MAP, CrossEntropy, FlatPrior, GaussianPrior, LaplacePrior
from losslab.models import MLP, Linear, SmallCNN
from losslab.pictures import Album
from losslab.pictures.album import _density, first_layer_filters
from losslab.types import Predictions

ALWAYS = {"confusion_matrix/val", "reliability/val", "worst_mistakes/val", "weights/density"}
PROFILE = {"why/logit_gradients/profile": {"p_true": [0.1], "mean": [1.0], "count": [4.0]}}


@pytest.fixture(scope="module")
def dataset():
    return build(synthetic(num_train=120), val_size=30)


def album(dataset, **options):
    shape, classes = dataset.input_shape, dataset.num_classes
    model = options.pop("model", None) or Linear(input_shape=shape, num_classes=classes)
    objective = MAP(CrossEntropy(), options.pop("prior", FlatPrior()), num_train=90)
    cadences = {"pictures_every": 2, "histograms_every": 3} | options
    return Album(
        loss="mse",
        model=model,
        objective=objective,
        val=dataset.val,
        class_names=dataset.class_names,
        **cadences,
    )


def predictions(dataset, *, value=None):
    labels = dataset.val.labels
    logits = torch.randn(len(labels), dataset.num_classes, generator=torch.manual_seed(0))
    if value is not None:
        logits[0, 0] = value
    return Predictions(logits, labels)


def tags(shown, kind):
    return {value.tag for value in shown if value.HasField(kind)}


def test_each_at_its_own_cadence_and_all_at_the_end(dataset):
    drawn = album(dataset)
    expected = {0: (False, True), 1: (False, False), 2: (True, False), 3: (False, True)}
    for epochs, due in expected.items():
        shown = drawn.during(epochs, val=predictions(dataset), curves={}, last=False)
        found = bool(tags(shown, "image")), bool(tags(shown, "histo"))
        assert found == due
    shown = drawn.during(5, val=predictions(dataset), curves=PROFILE, last=True)
    assert tags(shown, "image") == {*ALWAYS, "first_layer/filters", "gradient_profile/train"}
    assert tags(shown, "histo") == {"logits/val", "p_true/val", "weights/output.weight"}


def test_none_of_them(dataset):
    drawn = album(dataset, pictures_every=None, histograms_every=None)
    assert drawn.during(2, val=predictions(dataset), curves=PROFILE, last=True) == []
    assert drawn.after(test=predictions(dataset), curves=PROFILE) == []


def test_a_diverged_network_has_nothing_to_show(dataset):
    for value in (float("nan"), float("inf")):
        seen = predictions(dataset, value=value)
        assert album(dataset).during(2, val=seen, curves={}, last=True) == []
        assert album(dataset).after(test=seen, curves={}) == []


def test_slices_of_the_surface_and_curves_come_at_the_end(dataset):
    curves = {
        "why/landscape/line": {"position": [0.0, 1.0], "loss": [2.0, 1.0]},
        "why/landscape/surface": {"x": [0.0, 1.0], "y": [0.0, 0.0], "loss": [1.0, 2.0]},
    }
    shown = album(dataset).after(test=predictions(dataset), curves=curves)
    assert tags(shown, "image") == {"loss_surface/line", "loss_surface/plane"}
    names = {f"precision_recall/class_{name}".replace(" ", "_") for name in dataset.class_names}
    assert tags(shown, "tensor") == names
    empty = {name: {key: [] for key in columns} for name, columns in curves.items()}
    assert tags(album(dataset).after(test=predictions(dataset), curves=empty), "image") == set()


def test_many_classes_share_one_curve():
    dataset = build(synthetic(num_train=400, num_classes=25), val_size=100)
    shown = album(dataset).after(test=predictions(dataset), curves={})
    assert [value.tag for value in shown] == ["precision_recall/all_classes"]


def test_nothing_is_changed_by_looking(dataset):
    torch.manual_seed(3)
    model = SmallCNN(input_shape=dataset.input_shape, num_classes=dataset.num_classes, width=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    drawn = album(dataset, model=model)
    first = drawn.during(2, val=predictions(dataset), curves=PROFILE, last=True)
    torch.set_rng_state(state)
    assert drawn.during(2, val=predictions(dataset), curves=PROFILE, last=True) == first
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_histogram_holds_all_predictions(dataset):
    seen = predictions(dataset)
    shown = album(dataset).during(0, val=seen, curves={}, last=False)
    counts = {value.tag: sum(value.histo.bucket) for value in shown}
    assert counts["logits/val"] == seen.logits.numel()
    assert counts["p_true/val"] == len(seen.labels)
    p_true = next(value.histo for value in shown if value.tag == "p_true/val")
    assert (p_true.min, p_true.max) == (0.0, 1.0)


@pytest.mark.parametrize("prior", [GaussianPrior(std=0.3), LaplacePrior(scale=0.2)])
def test_a_priors_density_is_its_penalty(prior):
    name, density = _density(prior)
    assert type(prior).__name__.removesuffix("Prior") in name
    x = np.linspace(-9, 9, 100_001)
    assert np.trapezoid(density(x), x) == pytest.approx(1, abs=1e-6)
    penalty = [prior([torch.tensor(value)]).item() for value in (0.0, 0.5)]
    assert np.log(density(0.0) / density(0.5)) == pytest.approx(penalty[1] - penalty[0])


def test_a_prior_is_drawn_where_there_is_one(dataset):
    pictures = []
    for prior in (FlatPrior(), GaussianPrior(std=0.05)):
        torch.manual_seed(0)
        shown = album(dataset, prior=prior).during(
            2, val=predictions(dataset), curves={}, last=False
        )
        (value,) = (value for value in shown if value.tag == "weights/density")
        image = Image.open(io.BytesIO(value.image.encoded_image_string))
        assert image.size == (value.image.width, value.image.height)
        pictures.append(value.image.encoded_image_string)
    assert pictures[0] != pictures[1]


def test_the_first_layer_is_the_one_that_sees_the_picture():
    shape = (3, 12, 12)
    cnn = SmallCNN(input_shape=shape, num_classes=4, width=5)
    mlp = MLP(input_shape=shape, num_classes=4)
    assert first_layer_filters(cnn, shape).shape[:2] == (5, 3)
    assert first_layer_filters(mlp, shape).shape[1:] == shape
    assert first_layer_filters(nn.Sequential(nn.Flatten(), nn.Linear(7, 2)), shape) is None
    assert first_layer_filters(nn.Identity(), shape) is None
