"""Accuracy, NLL, Brier score and expected calibration error of logits and labels.

Plain functions of torch tensors or numpy arrays (anything with the array API), on any device:
logits ``(N, K)`` and labels ``(N,)``, class indices from 0 to K − 1; labels of another shape, type
or range are a ``ValueError``. ``reduction`` is ``mean`` or ``sum``, giving ``()``, or ``none``,
giving ``(N,)``; another is a ``ValueError``. The mean of no examples is NaN. Probabilities are the
softmax of the network's outputs under every loss, including those on raw outputs, so that the
numbers are comparable. All sums are in float64 (on MPS, which has none, in float32): adding 60,000
float32 numbers would lose digits that intervals need.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device, to_device
from numpy.typing import NDArray

ECE_BINS = 15
_WITHOUT_FLOAT64 = ("mps",)
RANGES = {
    "accuracy": (0.0, 1.0),
    "nll": (0.0, float("inf")),
    "brier": (0.0, 2.0),
    "ece": (0.0, 1.0),
}
"""Every metric here, with the smallest and the largest number that it can be."""

Array = Any  # of torch or numpy; a type for both does not exist
Reduction = Literal["mean", "sum", "none"]


def accuracy(logits: Array, labels: Array, *, reduction: Reduction = "mean") -> Array:
    """Return the share of examples whose largest logit is the label's.

    ``(N, K)`` and ``(N,)`` to ``()`` in [0, 1], or for ``none`` to ``(N,)``, 1.0 where right, else
    0.0. A NaN counts as the largest, as in torch and numpy, so a diverged run has an accuracy.

    >>> import numpy as np
    >>> accuracy(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 0])).item()
    0.5
    """
    check_labels(logits, labels)
    return _reduce(_per_example(logits, labels).correct, reduction)


def nll(logits: Array, labels: Array, *, reduction: Reduction = "mean") -> Array:
    """Return the negative log likelihood −log p_y of the labels, in nats, in [0, ∞).

    ``(N, K)`` and ``(N,)`` to ``()`` or ``(N,)``; non-finite logits give a non-finite result.

    >>> import numpy as np
    >>> round(nll(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 0])).item(), 4)
    0.7201
    """
    check_labels(logits, labels)
    return _reduce(_per_example(logits, labels).nll, reduction)


def brier(logits: Array, labels: Array, *, reduction: Reduction = "mean") -> Array:
    """Return the Brier score Σ_k (p_k − y_k)² for one-hot y, in [0, 2] (Brier 1950).

    ``(N, K)`` and ``(N,)`` to ``()`` or ``(N,)``; non-finite logits give NaN.

    >>> import numpy as np
    >>> brier(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([0, 1]), reduction="none").round(3)
    array([0.028, 0.5  ])
    """
    check_labels(logits, labels)
    return _reduce(_per_example(logits, labels).brier, reduction)


def ece(logits: Array, labels: Array, *, reduction: Reduction = "mean") -> Array:
    """Return the expected calibration error over 15 bins of equal width, in [0, 1].

    ECE = Σ_m |Σ_{i in m} (correct_i − confidence_i)| / N with bins ((m−1)/M, m/M] (Guo et al.
    2017). Per example it is sign_m (correct_i − confidence_i), sign_m being that of its bin's sum:
    numbers whose mean is the ECE, and whose scatter is, to first order, how it would scatter over
    other test parts.

    ``(N, K)`` and ``(N,)`` to ``()`` or ``(N,)``; non-finite logits give NaN.

    >>> import numpy as np
    >>> round(ece(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([0, 1])).item(), 2)
    0.31
    """
    check_labels(logits, labels)
    xp, values = array_namespace(logits), _per_example(logits, labels)
    gaps, members = values.correct - values.confidence, _members(values.confidence)
    # A matrix product, because scatter_add is not deterministic on CUDA.
    return _reduce(gaps * (members @ xp.sign(gaps @ members)), reduction)


def worst_mistakes(logits: Array, labels: Array, most: int = 15) -> Array:
    """Return the wrong predictions of highest confidence, the most confident first.

    ``(N, K)`` and ``(N,)`` to ``(M,)`` indices, M at most ``most``. Confidence is the largest
    softmax probability; equal ones stay in the order of the examples.

    >>> import numpy as np
    >>> worst_mistakes(np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]), np.array([0, 0, 0]))
    array([2, 1])
    """
    check_labels(logits, labels)
    xp, values = array_namespace(logits), _per_example(logits, labels)
    (wrong,) = xp.nonzero(values.correct == 0)
    return wrong[xp.argsort(-values.confidence[wrong], stable=True)][:most]


def confusion(predicted: Array, labels: Array, classes: int) -> NDArray[np.int64]:
    """Return how often each class was predicted, ``(K, K)``, one row for each true class.

    ``predicted`` and ``labels`` are numpy arrays ``(N,)`` of class indices from 0 to K − 1, K being
    ``classes``; others are a ``ValueError``.

    >>> import numpy as np
    >>> confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    if predicted.shape != labels.shape:
        raise ValueError(
            f"predicted has shape {predicted.shape} and labels {labels.shape}; give (N,) for both"
        )
    _check_indices("predicted", predicted, classes)
    _check_indices("labels", labels, classes)
    # As int64, since classes * labels may be too large for the labels' own type.
    pairs = np.bincount(
        classes * labels.astype(np.int64) + predicted.astype(np.int64), minlength=classes**2
    )
    return pairs.reshape(classes, classes)


def check_labels(logits: Array, labels: Array) -> None:
    """Raise ``ValueError`` unless labels are ``(N,)`` class indices for logits ``(N, K)``.

    It waits for the device, so the training loop does not call it.
    """
    check_arrays(logits, labels, alike=True)
    shape, found = tuple(logits.shape), tuple(labels.shape)
    if len(shape) != 2 or found != shape[:1]:
        raise ValueError(
            f"logits have shape {shape} and labels {found}; allowed are (N, K) and (N,): give one "
            "row of logits and one class index for each example"
        )
    _check_indices("labels", labels, shape[1])


def check_arrays(logits: Array, labels: Array, *, alike: bool = False) -> None:
    """Raise ``ValueError`` unless both are arrays, if ``alike`` of one library."""
    try:
        fits = array_namespace(logits) is array_namespace(labels) or not alike
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(
            f"logits are a {type(logits).__name__} and labels a {type(labels).__name__}; give both "
            "as torch tensors or both as numpy arrays"
        )


def _check_indices(name: str, indices: Array, classes: int) -> None:
    xp = array_namespace(indices)
    if indices.ndim != 1 or not xp.isdtype(indices.dtype, ("bool", "integral")):
        raise ValueError(
            f"{name} have shape {tuple(indices.shape)} and type {indices.dtype}; allowed are (N,) "
            "integers: give class indices"
        )
    if indices.shape[0] == 0:
        return
    whole = xp.astype(indices, xp.int64)
    low, high = int(xp.min(whole)), int(xp.max(whole))
    if low < 0 or high >= classes:
        raise ValueError(
            f"{name} lie in {low}…{high}; allowed are 0…{classes - 1} for {classes} classes: "
            "correct them or the number of classes"
        )


@dataclass(frozen=True)
class ClassificationSums:
    """Sums from which accuracy, NLL, Brier score and ECE follow; addable over batches.

    Those of R runs have a leading axis of that length.

    Attributes:
        examples: ``()`` number of examples N.
        correct: ``()`` examples whose largest logit is the label's.
        nll: ``()`` Σ −log p_y, in nats.
        brier: ``()`` Σ Σ_k (p_k − y_k)².
        bins: ``(3, ECE_BINS)`` count, Σ confidence and correct ones by bin of confidence.

    >>> import numpy as np
    >>> logits = np.array([[2.0, 0.0], [0.0, 1.0]])
    >>> sums = ClassificationSums.of(logits, np.array([0, 0]))
    >>> {name: round(value, 3) for name, value in (sums + sums).scalars().items()}
    {'accuracy': 0.5, 'nll': 0.72, 'brier': 0.549, 'ece': 0.425}
    """

    examples: Array
    correct: Array
    nll: Array
    brier: Array
    bins: Array

    @classmethod
    def of(cls, logits: Array, labels: Array) -> "ClassificationSums":
        """Return the sums over one batch; of non-finite logits only the accuracy is finite.

        Logits ``(N, K)`` and labels ``(N,)``, or ``(R, N, K)`` and ``(R, N)`` of R runs at once;
        ``ValueError`` for other shapes. Labels are not checked to be classes, since that would wait
        for the device.
        """
        if labels.shape != logits.shape[:-1]:
            raise ValueError(
                f"logits have shape {tuple(logits.shape)} and labels {tuple(labels.shape)}; "
                "allowed are (N, K) and (N,): give one class index for each row of logits"
            )
        xp, values = array_namespace(logits), _per_example(logits, labels)
        ones = xp.ones_like(values.correct)
        rows = xp.stack([ones, values.confidence, values.correct], axis=-2)
        axis = -1 if logits.ndim > 2 else None
        return cls(
            examples=xp.sum(ones, axis=axis),
            correct=xp.sum(values.correct, axis=axis),
            nll=xp.sum(values.nll, axis=axis),
            brier=xp.sum(values.brier, axis=axis),
            bins=rows @ _members(values.confidence),
        )

    def each(self) -> list["ClassificationSums"]:
        """Return the sums of each of R runs, on the CPU, with one copy from the device.

        >>> import numpy as np
        >>> sums = ClassificationSums.of(np.zeros((2, 3, 4)), np.array([[0, 0, 0], [0, 1, 1]]))
        >>> [one.scalars()["accuracy"] for one in sums.each()]
        [1.0, 0.3333333333333333]
        """
        xp, runs = array_namespace(self.bins), self.bins.shape[0]
        columns = [xp.reshape(values, (runs, -1)) for values in vars(self).values()]
        return [
            ClassificationSums(row[0], row[1], row[2], row[3], xp.reshape(row[4:], (3, ECE_BINS)))
            for row in to_device(xp.concat(columns, axis=1), "cpu")
        ]

    def __add__(self, other: "ClassificationSums") -> "ClassificationSums":
        """Return the sums over both."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return ClassificationSums(*(a + b for a, b in pairs))

    def scalars(self) -> dict[str, float]:
        """Return ``accuracy``, ``nll``, ``brier`` and ``ece``."""
        xp = array_namespace(self.bins)
        gap = xp.sum(xp.abs(self.bins[2, :] - self.bins[1, :]))
        values = xp.stack([self.correct, self.nll, self.brier, gap]) / self.examples
        return dict(zip(RANGES, values.tolist(), strict=True))  # one copy from the device


class _PerExample(NamedTuple):
    """The values of each example, all ``(N,)`` or ``(R, N)``."""

    correct: Array
    nll: Array
    brier: Array
    confidence: Array


def _per_example(logits: Array, labels: Array) -> _PerExample:
    xp = array_namespace(logits)
    kind = getattr(device(logits), "type", "")
    wide = xp.float32 if kind in _WITHOUT_FLOAT64 else xp.float64
    # Before the subtraction, which turns a row with an infinite logit into NaN.
    correct = xp.astype(xp.argmax(logits, axis=-1) == labels, wide)
    z = xp.astype(logits, wide)
    true = labels[..., None] == xp.arange(z.shape[-1], device=device(logits))
    # Infinite logits make the metrics NaN, as documented: numpy need not warn.
    with np.errstate(invalid="ignore", over="ignore"):
        z = z - xp.max(z, axis=-1, keepdims=True)
        log_p = z - xp.log(xp.sum(xp.exp(z), axis=-1, keepdims=True))
    p = xp.exp(log_p)
    zero = xp.zeros_like(z)
    return _PerExample(
        correct=correct,
        nll=-xp.sum(xp.where(true, log_p, zero), axis=-1),
        brier=xp.sum((p - xp.astype(true, wide)) ** 2, axis=-1),
        confidence=xp.max(p, axis=-1),
    )


def _members(confidence: Array) -> Array:
    """Return ``(..., N, ECE_BINS)``, 1.0 where an example lies in a bin.

    Bins are ((m−1)/M, m/M]: a confidence of exactly 1, which a saturated softmax reaches, belongs
    to the last one.
    """
    xp = array_namespace(confidence)
    number = xp.where(xp.isnan(confidence), xp.ones_like(confidence), confidence)
    index = xp.clip(xp.ceil(number * ECE_BINS) - 1, 0, ECE_BINS - 1)
    bins = xp.arange(ECE_BINS, dtype=index.dtype, device=device(confidence))
    return xp.astype(index[..., None] == bins, confidence.dtype)


def _reduce(values: Array, reduction: Reduction) -> Array:
    if reduction == "none":
        return values
    xp = array_namespace(values)
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction={reduction!r}; give mean, sum or none")
    return xp.mean(values) if reduction == "mean" else xp.sum(values)
