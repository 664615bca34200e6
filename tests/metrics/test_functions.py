"""The public metrics, of torch and of numpy, beside scikit-learn and plain loops."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from losslab import metrics
from losslab.metrics import ECE_BINS, ClassificationSums

NAMES = ("accuracy", "nll", "brier", "ece")


@pytest.fixture
def predictions():
    generator = np.random.default_rng(0)
    return generator.normal(0, 2, (200, 5)), generator.integers(0, 5, 200)


def of(name, logits, labels, **options):
    return getattr(metrics, name)(logits, labels, **options)


def naive_ece(p, labels):
    confidence, correct, total = p.max(axis=1), p.argmax(axis=1) == labels, 0.0
    for b in range(ECE_BINS):
        inside = (b / ECE_BINS < confidence) & (confidence <= (b + 1) / ECE_BINS)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return total


def test_they_agree_with_their_references(predictions):
    logits, labels = predictions
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = {
        "accuracy": accuracy_score(labels, p.argmax(axis=1)),
        "nll": log_loss(labels, p),
        "brier": brier_score_loss(labels, p, labels=range(5), scale_by_half=False),
        "ece": naive_ece(p, labels),
    }
    for name, value in expected.items():
        assert float(of(name, logits, labels)) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_torch_numpy_and_the_sums_of_training_agree(predictions, name, dtype):
    logits, labels = predictions[0].astype(dtype), predictions[1]
    tensors = torch.from_numpy(logits), torch.from_numpy(labels)
    each = of(name, logits, labels, reduction="none")
    found = of(name, *tensors, reduction="none")
    assert isinstance(found, torch.Tensor)
    assert (found.dtype, each.dtype, each.shape) == (torch.float64, np.float64, (200,))
    assert found.numpy() == pytest.approx(each, rel=1e-12, abs=1e-15)
    assert float(of(name, *tensors, reduction="sum")) == pytest.approx(each.sum())
    sums = ClassificationSums.of(*tensors).scalars()
    assert sums[name] == pytest.approx(float(of(name, logits, labels)), rel=1e-12)


def test_a_confidence_of_one_shares_the_last_bin():
    # 1.0 and wrong beside 0.953 and right: one bin, in which half of the gap cancels.
    logits, labels = np.array([[1e4, 0.0], [3.0, 0.0]]), np.array([1, 0])
    assert metrics.ece(logits, labels) == pytest.approx((1 + 1 / (1 + np.exp(-3))) / 2 - 0.5)
    assert metrics.ece(np.array([[1e4, 0.0]] * 4), np.array([0, 0, 1, 1])) == 0.5


def test_extreme_logits_are_finite_and_nan_is_the_highest():
    extreme = np.array([[1e4, -1e4]], dtype=np.float32), np.array([1])
    assert (metrics.nll(*extreme), metrics.brier(*extreme)) == (2e4, 2.0)
    for wrap in (np.asarray, torch.tensor):
        lost = wrap([[float("nan")] * 3] * 2), wrap([0, 1])
        assert metrics.accuracy(*lost, reduction="none").tolist() == [1.0, 0.0]
        assert all(np.isnan(float(of(name, *lost))) for name in NAMES[1:])


@pytest.mark.parametrize("name", NAMES)
def test_examples_scatter_as_the_metric_does_over_other_test_parts(predictions, name):
    logits, labels = predictions
    each = of(name, logits, labels, reduction="none")
    drawn = np.random.default_rng(1).integers(0, len(labels), (2000, len(labels)))
    resampled = [of(name, logits[index], labels[index]) for index in drawn]
    # The bootstrap's own standard error is 1.6%.
    assert each.std(ddof=1) / np.sqrt(len(labels)) == pytest.approx(np.std(resampled), rel=0.06)


@pytest.mark.parametrize("wrap", [np.asarray, torch.as_tensor])
def test_the_worst_mistakes_are_the_most_confident_ones(predictions, wrap):
    logits, labels = predictions
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = [i for i in range(200) if p[i].argmax() != labels[i]]
    expected = sorted(wrong, key=lambda i: -p[i].max())
    assert metrics.worst_mistakes(wrap(logits), wrap(labels), 7).tolist() == expected[:7]
    assert metrics.worst_mistakes(wrap(logits), wrap(p.argmax(axis=1))).tolist() == []
    tied = wrap(np.eye(3)[[0, 1, 2, 0]]), wrap(np.array([1, 1, 1, 1]))
    assert metrics.worst_mistakes(*tied).tolist() == [0, 2, 3]


def test_an_unknown_reduction_is_refused(predictions):
    with pytest.raises(ValueError, match="reduction='max'; give mean, sum or none"):
        metrics.nll(*predictions, reduction="max")


def test_metrics_need_no_torch():
    code = "import sys, losslab.metrics; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


BAD_LABELS = {
    "labels (4, 1); allowed are": np.zeros((4, 1), np.int64),
    "labels (1,); allowed are": np.zeros(1, np.int64),
    "labels lie in 0…3; allowed are 0…2": np.array([0, 1, 2, 3]),
    "labels lie in -1…2; allowed are 0…2": np.array([0, 1, 2, -1]),
    "float64; allowed are (N,) integers": np.array([0.5, 1.5, 2.5, 0.5]),
    "float32; allowed are (N,) integers": np.array([0, 1, 2, 0], np.float32),
    "labels (4, 3); allowed are": np.full((4, 3), 1 / 3),
}
OF_LABELS = (*NAMES, "worst_mistakes", "fit_temperature", "adaptive_ece")


@pytest.mark.parametrize("name", OF_LABELS)
@pytest.mark.parametrize("wrap", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("message", BAD_LABELS)
def test_labels_that_do_not_fit_are_refused(name, wrap, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        of(name, wrap(np.eye(4, 3)), wrap(BAD_LABELS[message]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_both_are_of_torch_or_both_of_numpy(name):
    for pair in [
        (np.eye(2), torch.arange(2)),
        (torch.eye(2), np.arange(2)),
        (np.eye(2), [0, 1]),
        ([[0.0, 1.0]], np.arange(1)),
    ]:
        with pytest.raises(ValueError, match="both as torch tensors or both as numpy arrays"):
            of(name, *pair)


@pytest.mark.parametrize("name", ["fit_temperature", "adaptive_ece"])
def test_lists_are_no_arrays(name):
    for pair in [(np.eye(2), [0, 1]), ([[0.0, 1.0]], np.arange(1)), (None, None)]:
        with pytest.raises(ValueError, match="both as torch tensors or both as numpy arrays"):
            of(name, *pair)


def test_sums_of_shapes_that_do_not_fit_are_refused():
    for labels in (np.zeros(1, np.int64), np.zeros((4, 1), np.int64)):  # numpy would broadcast
        with pytest.raises(ValueError, match=r"logits have shape \(4, 3\) and labels \("):
            ClassificationSums.of(np.eye(4, 3), labels)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_of_every_integer_type_give_the_same_numbers(predictions, dtype):
    logits, labels = predictions
    for name in OF_LABELS:
        expected, found = of(name, logits, labels), of(name, logits, labels.astype(dtype))
        assert np.array_equal(expected, found)
    labels = np.arange(30)  # 30 · 29 is more than a uint8 holds
    counts = metrics.confusion(labels.astype(dtype), labels.astype(dtype), 30)
    assert np.array_equal(counts, np.eye(30))


@pytest.mark.parametrize(
    ("predicted", "labels", "message"),
    [
        ([0, 5], [0, 1], "predicted lie in 0…5; allowed are 0…2"),
        ([0, 1], [0, 3], "labels lie in 0…3; allowed are 0…2"),
        ([0, -1], [1, 1], "predicted lie in -1…0; allowed are 0…2"),
        ([0, 1], [0], "predicted has shape (2,) and labels (1,)"),
        ([0.0, 1.0], [0, 1], "predicted have shape (2,) and type float64"),
        ([[0, 1]], [[0, 1]], "predicted have shape (1, 2)"),
    ],
)
def test_a_confusion_matrix_of_classes_that_are_not_there(predicted, labels, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        metrics.confusion(np.array(predicted), np.array(labels), 3)
