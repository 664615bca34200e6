import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from losslab.report.metrics import contributions, measure, score


def softmax(logits):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


@pytest.fixture
def predictions():
    generator = np.random.default_rng(0)
    return generator.normal(0, 2, (200, 5)), generator.integers(0, 5, 200)


def naive_ece(confidence, correct, bins=15):
    total = 0.0
    for b in range(bins):
        inside = [i for i, c in enumerate(confidence) if b / bins < c <= (b + 1) / bins]
        if inside:
            gap = np.mean([correct[i] for i in inside]) - np.mean([confidence[i] for i in inside])
            total += len(inside) / len(confidence) * abs(gap)
    return total


def test_measures_agree_with_scikit_learn(predictions):
    logits, labels = predictions
    scores = score(logits, labels)
    p = softmax(logits)
    assert measure(scores, "accuracy") == pytest.approx(accuracy_score(labels, p.argmax(axis=1)))
    assert measure(scores, "nll") == pytest.approx(log_loss(labels, p), rel=1e-12)
    brier = brier_score_loss(labels, p, labels=range(5), scale_by_half=False)
    assert measure(scores, "brier") == pytest.approx(brier, rel=1e-12)


def test_calibration_error_agrees_with_a_loop_over_bins(predictions):
    logits, labels = predictions
    p = softmax(logits)
    expected = naive_ece(p.max(axis=1), p.argmax(axis=1) == labels)
    assert measure(score(logits, labels), "ece") == pytest.approx(expected, rel=1e-12)


def test_calibration_error_counts_a_confidence_of_exactly_one():
    # Saturated: confidence is 1.0 in float64, half of the predictions are wrong.
    scores = score(np.array([[1e4, 0.0]] * 4), np.array([0, 0, 1, 1]))
    assert scores.confidence.tolist() == [1.0] * 4
    assert measure(scores, "ece") == 0.5


def test_a_confidence_of_one_shares_the_last_bin():
    # 1.0 and wrong beside 0.953 and right: one bin, in which half of the gap cancels.
    scores = score(np.array([[1e4, 0.0], [3.0, 0.0]]), np.array([1, 0]))
    assert measure(scores, "ece") == pytest.approx(naive_ece(scores.confidence, scores.correct))
    assert measure(scores, "ece") == pytest.approx((1 + 1 / (1 + np.exp(-3))) / 2 - 0.5)


def test_an_extreme_logit_has_a_finite_nll():
    scores = score(np.array([[1e4, -1e4]], dtype=np.float32), np.array([1]))
    assert measure(scores, "nll") == 2e4
    assert measure(scores, "brier") == 2.0


def test_a_nan_is_the_highest_score_as_in_torch():
    scores = score(np.array([[np.nan] * 3, [np.nan] * 3]), np.array([0, 1]))
    assert scores.correct.tolist() == [1.0, 0.0]
    assert np.isnan(scores.nll).all()
    assert np.isnan(measure(scores, "ece"))


@pytest.mark.parametrize("metric", ["accuracy", "nll", "brier", "ece"])
def test_contributions_scatter_as_the_metric_does_over_other_test_parts(predictions, metric):
    logits, labels = predictions
    each = contributions(score(logits, labels), metric)
    drawn = np.random.default_rng(1).integers(0, len(labels), (2000, len(labels)))
    resampled = [measure(score(logits[index], labels[index]), metric) for index in drawn]
    # The bootstrap's own standard error is 1.6%.
    expected = np.std(resampled)
    assert each.std(ddof=1) / np.sqrt(len(labels)) == pytest.approx(expected, rel=0.06)
