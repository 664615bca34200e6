"""Accuracy, NLL, Brier score and calibration error of stored raw scores, in numpy.

Probabilities are read from raw scores the same way for every loss: p = softmax(z).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ECE_BINS = 15
RANGES = {"accuracy": (0.0, 1.0), "nll": (0.0, np.inf), "brier": (0.0, 2.0), "ece": (0.0, 1.0)}
EXAMPLE_METRICS = tuple(RANGES)


@dataclass(frozen=True)
class Scores:
    """What one run's raw scores say of every example.

    Attributes:
        labels: ``(N,)`` the true classes.
        correct: ``(N,)`` 1.0 where the class of the highest score is the true one, else 0.0.
        nll: ``(N,)`` −log p_y in nats.
        brier: ``(N,)`` Σ (p − y)², in ``[0, 2]``.
        confidence: ``(N,)`` the highest probability, in ``[1/K, 1]``.
    """

    labels: IntArray
    correct: FloatArray
    nll: FloatArray
    brier: FloatArray
    confidence: FloatArray


def score(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.number]) -> Scores:
    """Score every example in float64.

    A NaN counts as the highest score, as in torch, so a diverged run has an accuracy; its other
    measures are NaN.

    Args:
        logits: ``(N, K)`` raw scores.
        labels: ``(N,)`` class indices.

    >>> scores = score(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([0, 1]))
    >>> scores.correct.tolist(), scores.brier.round(3).tolist()
    ([1.0, 0.0], [0.028, 0.5])
    """
    logits = logits.astype(np.float64)
    classes = labels.astype(np.int64)
    rows = np.arange(len(classes))
    # Infinite scores make NaN, which is what the measures then are.
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        p = np.exp(log_p)
    residual = p.copy()
    residual[rows, classes] -= 1.0
    return Scores(
        labels=classes,
        correct=(logits.argmax(axis=1) == classes).astype(np.float64),
        nll=-log_p[rows, classes],
        brier=(residual**2).sum(axis=1),
        confidence=p.max(axis=1),
    )


def contributions(scores: Scores, metric: str) -> FloatArray:
    """Return ``(N,)`` numbers, one an example, whose mean is the metric.

    For ``accuracy``, ``nll`` and ``brier`` they are what each example scores. ``ece`` is
    Σ_b |mean over all examples of 1[n in b] (correct_n − confidence_n)|, so an example in bin b
    contributes sign_b (correct − confidence), sign_b being that of its bin's sum. How they scatter
    over the examples is how the metric would scatter over other test parts: exactly for a mean, to
    first order for ``ece``.
    """
    if metric != "ece":
        columns = {"accuracy": scores.correct, "nll": scores.nll, "brier": scores.brier}
        return columns[metric]
    # (0, 1/15], (1/15, 2/15], ...: a confidence of exactly 1 lies in the last bin.
    confidence = np.nan_to_num(scores.confidence, nan=1.0)
    bins = np.clip(np.ceil(confidence * ECE_BINS) - 1, 0, ECE_BINS - 1).astype(np.int64)
    gaps = scores.correct - scores.confidence
    signs = np.sign(np.bincount(bins, weights=gaps, minlength=ECE_BINS))
    each: FloatArray = gaps * signs[bins]
    return each


def measure(scores: Scores, metric: str) -> float:
    """Return one of ``accuracy``, ``nll`` (nats), ``brier``, ``ece`` of a run.

    ``ece`` is the expected calibration error, Σ_b (n_b / N) |accuracy_b − confidence_b| over 15
    bins of equal width (Guo et al. 2017).

    >>> scores = score(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([0, 1]))
    >>> round(measure(scores, "accuracy"), 3), round(measure(scores, "ece"), 3)
    (0.5, 0.31)
    """
    return float(contributions(scores, metric).mean())
