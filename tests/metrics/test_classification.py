import math

import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss

from losslab.metrics import ECE_BINS, ClassificationSums


def draw(examples: int, classes: int, *, scale: float = 2.0, seed: int = 0):
    source = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(examples, classes, generator=source, dtype=torch.float64)
    return logits, torch.randint(classes, (examples,), generator=source)


def naive_brier(probabilities: list[list[float]], labels: list[int]) -> float:
    total = 0.0
    for row, label in zip(probabilities, labels, strict=True):
        total += sum((p - (k == label)) ** 2 for k, p in enumerate(row))
    return total / len(labels)


def naive_ece(confidences: list[float], correct: list[bool]) -> float:
    """Guo et al. 2017: equal-width bins ((m - 1)/M, m/M], weighted by their share."""
    total = 0.0
    for m in range(ECE_BINS):
        low, high = m / ECE_BINS, (m + 1) / ECE_BINS
        inside = [i for i, c in enumerate(confidences) if low < c <= high]
        if inside:
            accuracy = sum(correct[i] for i in inside) / len(inside)
            confidence = sum(confidences[i] for i in inside) / len(inside)
            total += len(inside) / len(confidences) * abs(accuracy - confidence)
    return total


@pytest.mark.parametrize(("examples", "classes"), [(1, 2), (57, 2), (200, 10), (300, 100)])
@pytest.mark.parametrize("scale", [0.1, 2.0, 50.0])
def test_against_scikit_learn_and_plain_loops(examples, classes, scale):
    logits, labels = draw(examples, classes, scale=scale)
    found = ClassificationSums.of(logits, labels).scalars()
    probabilities = logits.softmax(dim=1)
    predicted = probabilities.argmax(dim=1)
    confidences = probabilities.amax(dim=1).tolist()
    correct = (predicted == labels).tolist()
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, predicted), abs=1e-12)
    assert found["brier"] == pytest.approx(
        naive_brier(probabilities.tolist(), labels.tolist()), abs=1e-12
    )
    assert found["ece"] == pytest.approx(naive_ece(confidences, correct), abs=1e-12)
    if scale < 50:  # scikit-learn clips probabilities
        reference = log_loss(labels, probabilities, labels=range(classes))
        assert found["nll"] == pytest.approx(reference, rel=1e-9)


def test_a_confidence_of_exactly_one_belongs_into_the_last_bin():
    logits = torch.tensor([[1000.0, 0.0], [1000.0, 0.0], [1000.0, 0.0], [math.log(3), 0.0]])
    sums = ClassificationSums.of(logits, torch.tensor([0, 0, 1, 0]))
    assert logits.double().softmax(dim=1).amax(dim=1).tolist()[:3] == [1.0] * 3
    assert sums.bins[0].tolist() == [0.0] * 11 + [1.0] + [0.0] * 2 + [3.0]
    # three of four at confidence 1, two of them right; one at 3/4, right
    assert sums.scalars()["ece"] == pytest.approx(1 / 4 + (1 - 3 / 4) / 4)


def test_nll_of_a_saturated_mistake_is_the_difference_of_the_logits():
    sums = ClassificationSums.of(torch.tensor([[1000.0, 0.0]]), torch.tensor([1]))
    assert sums.scalars() == {"accuracy": 0.0, "nll": 1000.0, "brier": 2.0, "ece": 1.0}


@pytest.mark.parametrize("cut", [1, 40, 99])
def test_sums_of_batches_add_up_to_the_sums_of_the_whole(cut):
    logits, labels = draw(100, 5)
    whole = ClassificationSums.of(logits, labels)
    parts = ClassificationSums.of(logits[:cut], labels[:cut])
    parts = parts + ClassificationSums.of(logits[cut:], labels[cut:])
    for name, value in vars(whole).items():
        torch.testing.assert_close(getattr(parts, name), value, rtol=1e-12, atol=1e-12)
    assert parts.scalars() == pytest.approx(whole.scalars(), abs=1e-12)


def test_float32_logits_lose_nothing_in_the_sums():
    logits, labels = draw(20_000, 10)
    single = ClassificationSums.of(logits.float(), labels)
    assert single.nll.dtype == torch.float64
    exact = ClassificationSums.of(logits.float().double(), labels)
    assert single.scalars() == exact.scalars()


def test_constant_offsets_change_nothing():
    logits, labels = draw(50, 4)
    shifted = ClassificationSums.of(logits + 3.5, labels).scalars()
    assert shifted == pytest.approx(ClassificationSums.of(logits, labels).scalars(), abs=1e-12)


def test_numbers_that_are_not_finite_show():
    logits = torch.tensor([[math.nan, 0.0], [1.0, 0.0]])
    found = ClassificationSums.of(logits, torch.tensor([0, 0])).scalars()
    assert 0.0 <= found["accuracy"] <= 1.0
    assert all(math.isnan(found[name]) for name in ("nll", "brier", "ece"))


def test_runs_at_once_are_each_run_alone():
    drawn = [draw(57, 10, scale=scale, seed=seed) for seed, scale in enumerate((0.1, 2.0, 1e4))]
    drawn[1][0][3] = math.nan
    together = ClassificationSums.of(*map(torch.stack, zip(*drawn, strict=True))).each()
    for one, each in zip(drawn, together, strict=True):
        alone = ClassificationSums.of(*one).scalars()
        assert each.scalars() == pytest.approx(alone, rel=1e-14, nan_ok=True)
