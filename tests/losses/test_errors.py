"""Bad input gets one line: what was given, what is allowed, what to do."""

import math
import re

import pytest
import torch

from cases import LOSSES, draw
from losslab import losses

every_loss = pytest.mark.parametrize("case", LOSSES, ids=str)
LOGITS, LABELS = draw()

BAD_CALLS = {
    "logits is a ndarray; allowed is a torch tensor": (LOGITS.numpy(), LABELS),
    "target is a ndarray; allowed is a torch tensor": (LOGITS, LABELS.numpy()),
    "target is a list; allowed is a torch tensor": (LOGITS, LABELS.tolist()),
    "logits have shape (5,)": (LOGITS[0], LABELS),
    "logits have shape (7, 1)": (LOGITS[:, :1], LABELS),
    "logits have shape (7, 5, 2, 3); allowed is (N, K) with K ≥ 2 classes: of (N, K, ...) give "
    "logits.movedim(1, -1).flatten(0, -2), target.flatten()": (
        LOGITS[..., None, None].expand(7, 5, 2, 3),
        LABELS[:, None, None].expand(7, 2, 3),
    ),
    "logits are torch.int64": (LOGITS.long(), LABELS),
    "class indices are torch.int32": (LOGITS, LABELS.int()),
    "class indices are torch.float64": (LOGITS, LABELS.double()),
    "target has shape (6,) beside logits (7, 5)": (LOGITS, LABELS[:6]),
    "target has shape (7, 1) beside logits (7, 5)": (LOGITS, LABELS[:, None]),
    "class probabilities are torch.int64": (LOGITS, LOGITS.long()),
    "labels lie in 0…5; allowed are 0…4": (LOGITS, torch.tensor([0, 1, 2, 3, 4, 5, 0])),
    "labels lie in -1…4; allowed are 0…4": (LOGITS, torch.tensor([0, 1, 2, 3, 4, -1, 0])),
    "labels lie in -100…0; allowed are 0…4": (LOGITS, torch.tensor([-100, 0, 0, 0, 0, 0, 0])),
}


@every_loss
@pytest.mark.parametrize("message", BAD_CALLS)
def test_shapes_types_and_labels(case, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}") as caught:
        case.make()(*BAD_CALLS[message])
    assert "allowed" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pixels_are_examples():
    logits, labels = draw(num_examples=24)
    images, maps = logits.reshape(2, 3, 4, 5).movedim(-1, 1), labels.reshape(2, 3, 4)
    expected = torch.nn.CrossEntropyLoss()(images, maps)
    found = losses.CrossEntropy()(images.movedim(1, -1).flatten(0, -2), maps.flatten())
    torch.testing.assert_close(found, expected)


def test_hinge_refuses_soft_targets():
    with pytest.raises(ValueError, match=r"the hinge allows \(N,\) class indices only.*argmax"):
        losses.MulticlassHinge()(LOGITS, LOGITS.softmax(1))


def test_one_sided_refuses_soft_targets():
    with pytest.raises(ValueError, match=r"one_sided allows \(N,\) class indices only.*argmax"):
        losses.SquaredError("none", one_sided=True)(LOGITS, LOGITS.softmax(1))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_one_sided_is_for_raw_scores(activation):
    message = f"one_sided is true with activation '{activation}'; allowed is none"
    with pytest.raises(ValueError, match=message):
        losses.SquaredError(activation, one_sided=True)
    with pytest.raises(ValueError, match=message):
        losses.functional.squared_error(LOGITS, LABELS, activation=activation, one_sided=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.CrossEntropy(1.0), r"label_smoothing is 1.0; allowed is 0 ≤ ε < 1"),
        (lambda: losses.CrossEntropy(-0.1), "label_smoothing is -0.1"),
        (lambda: losses.CrossEntropy(math.nan), "label_smoothing is nan"),
        (lambda: losses.CrossEntropy(reduction="batchmean"), "allowed are mean, sum, none"),
        (lambda: losses.SquaredError("relu"), "allowed are softmax, sigmoid, none"),
        (lambda: losses.SquaredError("none", "max"), "allowed are mean, sum"),
        (lambda: losses.SquaredError(true_class_weight=0.0), "true_class_weight is 0.0"),
        (lambda: losses.SquaredError(true_class_target=math.inf), "true_class_target is inf"),
        (lambda: losses.SquaredError("none", one_sided="abc"), "one_sided is 'abc'"),
        (lambda: losses.SquaredError("none", one_sided=1), "one_sided is 1; .* true, false"),
        (lambda: losses.SquaredError("none", one_sided=math.nan), "one_sided is nan"),
        (
            lambda: losses.functional.squared_error(LOGITS, LABELS, activation="sigmod"),
            "activation is 'sigmod'; allowed are softmax, sigmoid, none",
        ),
        (
            lambda: losses.functional.squared_error(LOGITS, LABELS, class_reduction="avg"),
            "class_reduction is 'avg'; allowed are mean, sum",
        ),
        (
            lambda: losses.functional.unnormalized_cross_entropy(LOGITS, LABELS, activation="tanh"),
            "activation is 'tanh'; allowed are exp, sigmoid",
        ),
        (lambda: losses.GeneralizedCrossEntropy(0.0), r"q is 0.0; allowed is 0 < q ≤ 1"),
        (lambda: losses.GeneralizedCrossEntropy(1.1), "q is 1.1"),
        (lambda: losses.PolyLoss(-2.0), "epsilon is -2.0; allowed is a finite ε ≥ −1"),
        (lambda: losses.TaylorCrossEntropy(0), "order is 0; allowed is a whole number t ≥ 1"),
        (lambda: losses.TaylorCrossEntropy(1.5), "order is 1.5"),
        (lambda: losses.LogitNormalization(0.0), "temperature is 0.0; allowed is a finite number"),
        (lambda: losses.SymmetricCrossEntropy(0.0), "alpha is 0.0; allowed is a finite number"),
        (lambda: losses.SymmetricCrossEntropy(floor=0.0), "floor is 0.0; allowed is a finite A"),
        (lambda: losses.BiTempered(1.0), "t1 is 1.0; allowed is 0 ≤ t1 < 1"),
        (lambda: losses.BiTempered(0.5, 1.0), "t2 is 1.0; allowed is 1 < t2 ≤ 4"),
        (lambda: losses.Focal(-1.0), "gamma is -1.0"),
        (lambda: losses.Focal(math.nan), "gamma is nan"),
        (lambda: losses.UnnormalizedCrossEntropy("softmax"), "softmax is CrossEntropy"),
        (lambda: losses.GaussianPrior(0.0), "std is 0.0"),
        (lambda: losses.GaussianPrior(math.inf), "std is inf"),
        (lambda: losses.LaplacePrior(-2.0), "scale is -2.0"),
        (lambda: losses.LaplacePrior(math.nan), "scale is nan"),
        (lambda: losses.MAP(losses.Focal(), losses.FlatPrior(), 0), "num_train is 0"),
        (lambda: losses.MAP(losses.Focal(), losses.FlatPrior(), 10.0), r"num_train is 10\.0"),
        (lambda: losses.MAP(losses.Focal(), losses.FlatPrior(), True), "num_train is True"),
        (
            lambda: losses.MAP(losses.Focal(), losses.FlatPrior(), 1, reduction="max"),
            "reduction is 'max'",
        ),
        (
            lambda: losses.MAP(torch.nn.CrossEntropyLoss(), losses.FlatPrior(), 1),
            "CrossEntropyLoss has reduction 'mean'.*reduction='none'",
        ),
        (
            lambda: losses.MAP(losses.Focal, losses.FlatPrior(), 1),
            "likelihood is <class.*construct",
        ),
        (lambda: losses.MAP(None, losses.FlatPrior(), 1), "likelihood is None"),
        (lambda: losses.MAP(losses.Focal(), losses.FlatPrior, 1), "prior is <class.*construct it"),
        (
            lambda: losses.GaussianPrior(1.0)(torch.nn.Linear(2, 2).named_parameters()),
            r"hold a tuple; allowed are torch tensors: give model.parameters\(\)",
        ),
        (lambda: losses.entropy([0.5, 0.5]), "p is a list; allowed is a torch tensor"),
    ],
)
def test_arguments(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "allowed" in str(caught.value)
