import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import nn

from losslab.diagnostics import Geometry
from viewing import view, view_of


def naive(features, labels):
    """Return the four numbers with D x D matrices and one class at a time."""
    h, y = np.asarray(features), np.asarray(labels)
    classes = np.unique(y)
    means = {c: h[y == c].mean(0) for c in classes}
    centre = np.mean(list(means.values()), axis=0)
    within = np.mean([np.outer(a - means[c], a - means[c]) for a, c in zip(h, y, strict=True)], 0)
    between = np.mean([np.outer(m - centre, m - centre) for m in means.values()], axis=0)
    cosines = []
    for a in classes:
        for b in classes[classes > a]:
            left, right = means[a] - centre, means[b] - centre
            cosines.append(left @ right / math.sqrt(left @ left * (right @ right)))

    def distance(a, b):
        """Return the mean cosine distance over the pairs of two classes."""
        return cdist(h[y == a], h[y == b], metric="cosine").mean()

    d_within = np.mean([distance(c, c) for c in classes])
    d_total = np.mean([distance(a, b) for a in classes for b in classes])
    found = {
        "within_over_between": np.trace(within @ np.linalg.pinv(between, rcond=1e-10))
        / len(classes),
        "cosine": np.mean(cosines),
        "cosine/std": np.std(cosines),
        "separation": 1 - d_within / d_total,
    }
    return {name: value for name, value in found.items() if not math.isnan(value)}


def test_of_a_network():
    seen = view()
    assert Geometry().measure(seen).scalars == pytest.approx(naive(seen.features, seen.labels))


@pytest.mark.parametrize(("num_classes", "width"), [(2, 3), (5, 20), (7, 3)])
def test_against_whole_matrices(num_classes, width):
    labels = torch.cat([torch.arange(num_classes).repeat(3), torch.tensor([0, 0, 1])])
    generator = torch.Generator().manual_seed(num_classes)
    features = torch.randn(len(labels), width, generator=generator, dtype=torch.float64)
    seen = view_of(torch.zeros(len(labels), num_classes), labels, features=features)
    found = Geometry().measure(seen).scalars
    assert found == pytest.approx(naive(features, labels), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("num_classes", [2, 10])
def test_a_collapsed_network(num_classes):
    labels = torch.arange(2 * num_classes) % num_classes
    features = 3 + torch.eye(num_classes)[labels]  # a simplex, off the origin, in float32
    seen = view_of(torch.zeros(len(labels), num_classes), labels, features=features)
    assert Geometry().measure(seen).scalars == pytest.approx(
        {
            "within_over_between": 0,
            "cosine": -1 / (num_classes - 1),
            "cosine/std": 0,
            "separation": 1,
        },
        abs=1e-6,
    )


def test_an_example_without_features_has_no_direction():
    features = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    features[0] = 0
    seen = view_of(torch.zeros(8, 4), LABELS, features=features)
    assert set(Geometry().measure(seen).scalars) == {"within_over_between", "cosine", "cosine/std"}


LABELS = torch.arange(8) % 4
ROUNDING = 1e-7 * torch.rand(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("rounding", [0.0, ROUNDING])
def test_features_of_one_direction_are_not_separated(rounding):
    lengths = torch.arange(1.0, 9.0).unsqueeze(1) ** 2
    features = lengths * (torch.tensor([[0.3, 0.5, 0.7]], dtype=torch.float64) + rounding)
    seen = view_of(torch.zeros(8, 4), LABELS, features=features)
    assert set(Geometry().measure(seen).scalars) == {"within_over_between", "cosine", "cosine/std"}


@pytest.mark.parametrize(
    ("labels", "features"),
    [
        (LABELS, None),
        (LABELS, torch.ones(8, 3)),
        (LABELS, 3 + ROUNDING),
        (LABELS, torch.full((8, 3), math.inf)),
        (torch.tensor([0, 0, 0, 1, 1, 1, 2, 3]), torch.eye(8)),
        (torch.tensor([0, 0, 0, 1, 1, 1, 2, 2]), torch.eye(8)),
    ],
    ids=[
        "no features",
        "all means equal",
        "equal to rounding",
        "infinite",
        "one example of a class",
        "no example",
    ],
)
def test_what_cannot_be_computed_is_absent(labels, features):
    seen = view_of(torch.zeros(8, 4), labels, features=features)
    assert Geometry().measure(seen).scalars == {}


def test_a_model_of_ones_own_has_no_features():
    seen = view(model=nn.Sequential(nn.Flatten(), nn.Linear(16, 4)))
    assert Geometry().measure(seen).scalars == {}
