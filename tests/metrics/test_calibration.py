import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from losslab.metrics import ClassificationSums, adaptive_ece, fit_temperature, reliability


def draw(examples: int, classes: int, *, temperature: float = 1.0, seed: int = 0):
    """Return logits whose labels are drawn from softmax(logits / temperature)."""
    source = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(examples, classes, generator=source, dtype=torch.float64)
    labels = torch.multinomial((logits / temperature).softmax(1), 1, generator=source)
    return logits, labels.squeeze(1)


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_a_known_temperature_is_recovered(classes, temperature):
    found = fit_temperature(*draw(40_000, classes, temperature=temperature))
    assert found == pytest.approx(temperature, rel=0.1)


@pytest.mark.parametrize("scale", [0.05, 1.0, 1000.0])
def test_no_other_temperature_has_a_smaller_nll(scale):
    logits, labels = draw(300, 5, temperature=2.0)
    classes = range(5)

    def nll(log_temperature: float) -> float:
        scaled = scale * logits / math.exp(log_temperature)
        return log_loss(labels, scaled.softmax(1), labels=classes)

    centre = math.log(2 * scale)
    best = minimize_scalar(nll, bounds=(centre - 3, centre + 3), options={"xatol": 1e-8})
    assert fit_temperature(scale * logits, labels) == pytest.approx(math.exp(best.x), rel=1e-5)


def test_raw_scores_near_zero_and_one_want_a_small_temperature():
    source = torch.Generator().manual_seed(0)
    labels = torch.arange(2000) % 10
    scores = torch.nn.functional.one_hot(labels, 10) + 0.3 * torch.randn(2000, 10, generator=source)
    assert 0.02 < fit_temperature(scores, labels) < 0.3


def test_the_limits_are_multiples_of_the_spread():
    logits = torch.tensor([[4.0, 0.0], [0.0, 4.0]])  # standard deviation 2
    assert fit_temperature(logits, torch.tensor([0, 1])) == pytest.approx(0.02)
    assert fit_temperature(logits, torch.tensor([1, 0])) == pytest.approx(200)
    moved = logits + torch.tensor([[0.0], [9.0]])  # which softmax does not see
    assert fit_temperature(moved, torch.tensor([0, 1])) == pytest.approx(0.02)
    mixed = torch.tensor([[1e4, 0.0]]).repeat(4, 1)
    found = fit_temperature(mixed, torch.tensor([0, 0, 0, 1]))
    assert found == pytest.approx(1e4 / math.log(3), rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, math.nan, math.inf])
def test_where_no_temperature_is_better_there_is_none(value):
    logits = torch.full((3, 7), value, dtype=torch.float64)  # the mean of seven 0.1 is not 0.1
    assert fit_temperature(logits, torch.tensor([0, 1, 2])) is None


@pytest.mark.parametrize(("examples", "classes", "bins"), [(7, 2, 15), (100, 3, 15), (301, 10, 4)])
def test_adaptive_ece_against_plain_loops(examples, classes, bins):
    logits, labels = draw(examples, classes, temperature=2.0)
    p = logits.softmax(1)
    ranked = sorted(zip(p.amax(1).tolist(), (p.argmax(1) == labels).tolist(), strict=True))
    gap = 0.0
    for part in np.array_split(np.array(ranked, dtype=float), bins):
        if len(part):
            gap += len(part) / examples * abs(part[:, 1].mean() - part[:, 0].mean())
    assert adaptive_ece(logits, labels, bins=bins) == pytest.approx(gap, abs=1e-12)


def test_the_order_of_equally_confident_examples_does_not_matter():
    logits = torch.tensor([[1000.0, 0.0]]).repeat(20, 1)  # confidence exactly 1
    labels = (torch.arange(20) < 5).long()
    assert adaptive_ece(logits, labels, bins=4) == pytest.approx(5 / 20)
    half = torch.tensor([[0.0, 0.0]]).repeat(20, 1)  # confidence ½, half of them right
    for labels in (torch.arange(20) % 2, (torch.arange(20) < 10).long()):
        assert adaptive_ece(half, labels, bins=4) == 0


def test_examples_of_equal_confidence_among_others_count_with_their_own_accuracy():
    logits = torch.tensor([[0.0, 0.0], *[[1000.0, 0.0]] * 3])
    # Right at ½, and two of three right at 1: gaps of ½ and three of −⅓, in two bins of two.
    expected = (abs(1 / 2 - 1 / 3) + 2 / 3) / 4
    assert adaptive_ece(logits, torch.tensor([0, 1, 0, 0]), bins=2) == pytest.approx(expected)


def test_adaptive_ece_of_what_is_not_finite():
    assert math.isnan(adaptive_ece(torch.tensor([[math.nan, 0.0]]), torch.tensor([0])))


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_reliability_against_scikit_learn(scale):
    logits, labels = draw(500, 4, temperature=2.0)
    sums = ClassificationSums.of(scale * logits, labels)
    columns = reliability(sums)
    p = (scale * logits).softmax(1)
    correct = p.argmax(1) == labels
    accuracy, confidence = calibration_curve(correct, p.amax(1), n_bins=15)
    assert columns["accuracy"] == pytest.approx(accuracy)
    assert columns["confidence"] == pytest.approx(confidence)
    rows = zip(columns["count"], columns["accuracy"], columns["confidence"], strict=True)
    ece = sum(count * abs(a - c) for count, a, c in rows) / 500
    assert ece == pytest.approx(sums.scalars()["ece"])


@pytest.mark.parametrize("measure", [fit_temperature, adaptive_ece])
def test_gradients_half_precision_and_empty_input(measure):
    logits, labels = draw(50, 3)
    logits = logits.bfloat16().double()  # exact in every type below
    expected = measure(logits, labels)
    for same in (
        logits.clone().requires_grad_(),
        logits.bfloat16(),
        logits.bfloat16().requires_grad_(),
        logits.float(),
    ):
        assert measure(same, labels) == expected
    assert measure(logits.numpy(), labels.numpy()) == expected
    with pytest.raises(ValueError, match="no examples were given; allowed is one or more"):
        measure(logits[:0], labels[:0])


@pytest.mark.parametrize("bins", [0, -1, 2.5])
def test_bins_are_counted(bins):
    with pytest.raises(ValueError, match=f"bins={bins}; give a whole number ≥ 1"):
        adaptive_ece(*draw(10, 3), bins=bins)
