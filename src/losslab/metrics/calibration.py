"""How far confidence is from accuracy, and the one number that repairs most of it."""

import math

import torch
from torch import Tensor

from losslab.metrics.classification import ECE_BINS, ClassificationSums

COLDEST, HOTTEST = 1e-2, 1e2
"""Limits of the temperature, as multiples of the spread of the logits."""

BISECTIONS = 30
"""Of log T between the limits: log(10⁴)/2³⁰ ≈ 1e-8."""


def fit_temperature(logits: Tensor, labels: Tensor) -> float | None:
    """Return the T > 0 that minimises the NLL of softmax(z/T).

    With β = 1/T the mean NLL is convex, and its derivative Σ_k p_k z_k − z_y, averaged over the
    examples, grows with β; its zero is found by bisection in log T, to a relative 1e-8. One number
    for all classes, so no prediction changes, only its confidence: T > 1 lowers it, T < 1 raises
    it.

    The limits go with the logits, so that those of any loss can be fitted and T of c·z is c times
    T of z: 0.01 s ≤ T ≤ 100 s, s the root mean square over the examples of the standard deviation
    over the classes. The lower one comes out where every label has the largest logit (NLL falls
    until T = 0), the upper one where the logits are no better than equal ones.

    Args:
        logits: ``(N, K)``.
        labels: ``(N,)`` int64, of examples that were not trained on.

    Returns:
        T, in units of the logits; ``None`` where no T is better than another: a logit is not
        finite, or in every row all are equal.

    Source: Guo, Pleiss, Sun and Weinberger 2017, *On calibration of modern neural networks*.

    >>> logits = torch.tensor([[2.0, 0.0]]).repeat(4, 1)  # says 0.88, is right in 3 of 4
    >>> temperature = fit_temperature(logits, torch.tensor([0, 0, 0, 1]))
    >>> round(temperature, 4), round(2 / math.log(3), 4)
    (1.8205, 1.8205)
    """
    wide = logits.cpu().double()  # a GPU gains little here, and MPS has no float64
    spread = wide.std(dim=1, correction=0).square().mean().sqrt().item()
    if not math.isfinite(spread) or spread == 0:
        return None
    wide = wide / spread
    behind = wide - wide.gather(1, labels.cpu().unsqueeze(1))  # z_k − z_y

    def slope(log_temperature: float) -> float:
        """Return the derivative of the mean NLL with respect to 1/T."""
        probabilities = (wide * math.exp(-log_temperature)).softmax(dim=1)
        return (probabilities * behind).sum(dim=1).mean().item()

    # Not SciPy's Brent: importing it takes nearly a second, in which a short run trains an epoch.
    low, high = math.log(COLDEST), math.log(HOTTEST)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if slope(middle) > 0:  # a smaller 1/T is better
            low = middle
        else:
            high = middle
    return spread * math.exp((low + high) / 2)


def adaptive_ece(logits: Tensor, labels: Tensor, *, bins: int = ECE_BINS) -> float:
    """Return the calibration error over bins of equally many examples, in [0, 1].

    Σ_m |Σ_{i in m} (correct_i − confidence_i)| / N, where bin m has the examples between two
    quantiles of the confidence, their numbers equal but for one. Bins of equal width leave most
    of a well-trained network's examples in the last one, where they cancel out.

    Examples of exactly equal confidence, such as the 1.0 of a saturated softmax, each count with
    their mean accuracy: no order among them is the right one.

    Args:
        logits: ``(N, K)``; a non-finite one gives NaN.
        labels: ``(N,)`` int64.
        bins: From 1 up.

    Source: Nguyen and O'Connor 2015, *Posterior calibration and exploratory analysis for natural
    language processing models* (the adaptive bins).

    >>> logits = torch.tensor([[9.0, 0.0], [8.0, 0.0], [0.1, 0.0], [0.2, 0.0]])
    >>> round(adaptive_ece(logits, torch.tensor([0, 1, 0, 0]), bins=2), 4)
    0.4812
    """
    wide = logits.cpu().double()
    confidence, predicted = wide.softmax(dim=1).max(dim=1)
    if not confidence.isfinite().all():
        return math.nan
    ascending, group, size = torch.unique(confidence, return_inverse=True, return_counts=True)
    correct = torch.zeros_like(ascending)
    correct = correct.index_add(0, group, (predicted == labels.cpu()).to(wide.dtype)) / size
    gap = (correct - ascending).repeat_interleave(size)
    return math.fsum(part.sum().abs().item() for part in gap.tensor_split(bins)) / len(gap)


def reliability(sums: ClassificationSums) -> dict[str, list[float]]:
    """Return mean confidence, accuracy and count of the ECE's bins that hold an example.

    Plotted against each other, accuracy below confidence is overconfidence (a reliability
    diagram); Σ count·|accuracy − confidence| / N is the ECE.

    Source: Guo et al. 2017.

    >>> logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.5, 0.0]])
    >>> columns = reliability(ClassificationSums.of(logits, torch.tensor([0, 1, 0])))
    >>> {name: [round(value, 3) for value in column] for name, column in columns.items()}
    {'confidence': [0.622, 0.881], 'accuracy': [1.0, 0.5], 'count': [1.0, 2.0]}
    """
    count, confidence, correct = sums.bins[:, sums.bins[0] > 0]
    columns = {"confidence": confidence / count, "accuracy": correct / count, "count": count}
    return {name: column.tolist() for name, column in columns.items()}
