"""How far confidence is from accuracy, and the temperature that corrects most of it."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from array_api_compat import array_namespace, to_device

from losslab.metrics.classification import (
    ECE_BINS,
    Array,
    ClassificationSums,
    check_arrays,
    check_labels,
)

COLDEST, HOTTEST = 1e-2, 1e2
"""Limits of the temperature, as multiples of the spread of the logits."""

BISECTIONS = 30
"""Of log T between the limits: log(10⁴)/2³⁰ ≈ 1e-8."""


def fit_temperature(logits: Array, labels: Array) -> float | None:
    """Return the T > 0 that minimises the NLL of softmax(z/T).

    With β = 1/T the mean NLL is convex, and its derivative Σ_k p_k z_k − z_y, averaged over the
    examples, grows with β; its zero is found by bisection in log T, to a relative 1e-8. One number
    for all classes, so no prediction changes, only its confidence: T > 1 lowers it, T < 1 raises
    it.

    The limits scale with the logits, so that T of c·z is c times T of z: 0.01 s ≤ T ≤ 100 s, s the
    root mean square over the examples of the standard deviation over the classes. The result is
    the lower one where every label has the largest logit (NLL falls until T = 0), the upper one
    where the logits are no better than equal ones.

    ``(N, K)`` logits, of torch or numpy, and ``(N,)`` labels of examples that were not trained on
    give T in units of the logits, or ``None`` where no T is better than another: a logit is not
    finite, or in every row all are equal. No examples, or labels of another shape, type or range
    are a ``ValueError``.

    Source: Guo, Pleiss, Sun and Weinberger 2017, *On calibration of modern neural networks*.

    >>> logits = np.array([[2.0, 0.0]] * 4)  # confidence 0.88, accuracy 3/4
    >>> temperature = fit_temperature(logits, np.array([0, 0, 0, 1]))
    >>> round(temperature, 4), round(2 / math.log(3), 4)
    (1.8205, 1.8205)
    """
    z, y = _on_cpu(logits, labels)
    with np.errstate(invalid="ignore", over="ignore"):
        spread = math.sqrt(z.var(axis=1).mean())
    # Of equal numbers the variance may be rounding: their mean need not be any of them.
    if not math.isfinite(spread) or spread == 0 or (z == z[:, :1]).all():
        return None
    z = z / spread
    lead = z - np.take_along_axis(z, y[:, None], axis=1)  # z_k − z_y
    z = z - z.max(axis=1, keepdims=True)

    def slope(log_temperature: float) -> float:
        """Return the derivative of the mean NLL with respect to 1/T."""
        p = np.exp(z * math.exp(-log_temperature))
        return float(((p * lead).sum(axis=1) / p.sum(axis=1)).mean())

    # Not SciPy's Brent, whose import takes as long as an epoch of a short run.
    low, high = math.log(COLDEST), math.log(HOTTEST)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if slope(middle) > 0:  # a smaller 1/T is better
            low = middle
        else:
            high = middle
    return spread * math.exp((low + high) / 2)


def adaptive_ece(logits: Array, labels: Array, *, bins: int = ECE_BINS) -> float:
    """Return the calibration error over bins of equally many examples, in [0, 1].

    Σ_m |Σ_{i in m} (correct_i − confidence_i)| / N, where bin m has the examples between two
    quantiles of the confidence, their sizes differing by at most one. With bins of equal width,
    most examples of a well-trained network are in the last one, where their errors cancel.

    Examples of exactly equal confidence, such as the 1.0 of a saturated softmax, each count with
    their mean accuracy, since their order is arbitrary.

    ``(N, K)`` logits, of torch or numpy, and ``(N,)`` labels; ``bins`` ≥ 1. A
    non-finite logit gives NaN. No examples, fewer bins, or labels of another shape, type or range
    are a ``ValueError``.

    Source: Nguyen and O'Connor 2015, *Posterior calibration and exploratory analysis for natural
    language processing models* (the adaptive bins).

    >>> logits = np.array([[9.0, 0.0], [8.0, 0.0], [0.1, 0.0], [0.2, 0.0]])
    >>> round(adaptive_ece(logits, np.array([0, 1, 0, 0]), bins=2), 4)
    0.4812
    """
    if bins < 1 or bins != int(bins):
        raise ValueError(f"bins={bins}; give a whole number ≥ 1")
    z, y = _on_cpu(logits, labels)
    if not np.isfinite(z).all():
        return math.nan
    # The highest probability: that of the largest logit, exp(0) once it is subtracted.
    confidence = 1 / np.exp(z - z.max(axis=1, keepdims=True)).sum(axis=1)
    ascending, group, size = np.unique(confidence, return_inverse=True, return_counts=True)
    correct = np.bincount(group, weights=z.argmax(axis=1) == y) / size
    gap = np.repeat(correct - ascending, size)
    return math.fsum(abs(float(part.sum())) for part in np.array_split(gap, bins)) / len(gap)


def reliability(sums: ClassificationSums) -> dict[str, list[float]]:
    """Return mean confidence, accuracy and count of the ECE's bins that hold an example.

    Plotted against each other, accuracy below confidence is overconfidence (a reliability
    diagram); Σ count·|accuracy − confidence| / N is the ECE.

    Source: Guo et al. 2017.

    >>> logits = np.array([[2.0, 0.0], [2.0, 0.0], [0.5, 0.0]])
    >>> columns = reliability(ClassificationSums.of(logits, np.array([0, 1, 0])))
    >>> {name: [round(value, 3) for value in column] for name, column in columns.items()}
    {'confidence': [0.622, 0.881], 'accuracy': [1.0, 0.5], 'count': [1.0, 2.0]}
    """
    count, confidence, correct = sums.bins[:, sums.bins[0] > 0]
    columns = {"confidence": confidence / count, "accuracy": correct / count, "count": count}
    return {name: column.tolist() for name, column in columns.items()}


def _on_cpu(logits: Array, labels: Array) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the logits as float64 and the labels as int64, checked, for numpy.

    A GPU gains little here, and MPS has no float64.
    """
    check_arrays(logits, labels)
    # numpy takes neither tensors that require gradients nor bfloat16.
    arrays = (array.detach() if hasattr(array, "detach") else array for array in (logits, labels))
    logits, labels = (to_device(array, "cpu") for array in arrays)
    xp = array_namespace(logits)
    z = np.asarray(xp.astype(logits, xp.float64)).astype(np.float64)
    y = np.asarray(labels)
    check_labels(z, y)
    if len(z) == 0:
        raise ValueError("no examples were given; allowed is one or more: give logits and labels")
    return z, y.astype(np.int64)
