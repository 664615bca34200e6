"""Bounded losses, which wrong labels can move only so far."""

from torch import Tensor

from losslab.losses import functional
from losslab.losses.base import Loss, Reduction


class MeanAbsoluteError(Loss):
    """Absolute error after softmax: Σ_i |p_i − y_i|, for class indices 2 (1 − p_y).

    Summed over the classes, no 1/K, as in the literature on label noise; the mean is over the
    batch.

    - Gradient with respect to the logits: 2 p_y (p − y) for class indices; p ∘ (s − ⟨p, s⟩1) with
      s = sign(p − y) for soft targets. It vanishes where p_y does: the badly wrong examples, the
      mislabelled and the merely hard alike, are not learned.
    - Range: [0, 2]; 0 at p = y. Bounded, and its sum over all K labels is constant, 2 (K − 1).
    - Not convex in the logits.
    - Soft targets: yes, the distance itself. (Not its expectation over labels drawn from y.)

    Args:
        reduction: ``"mean"`` or ``"sum"`` over the batch, or ``"none"`` for ``(N,)``.

    Shapes:
        logits ``(N, K)``; target ``(N,)`` int64 or ``(N, K)`` probabilities; result ``()`` or
        ``(N,)``.

    Raises:
        ValueError: If shapes, types or labels do not fit.

    Source: Ghosh, Kumar and Sastry 2017, *Robust loss functions under label noise for deep neural
    networks*.

    >>> import torch
    >>> MeanAbsoluteError()(torch.tensor([[0.0, 0.0, 0.0, 0.0]]), torch.tensor([1]))  # 2 (1 − 1/4)
    tensor(1.5000)
    """

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.mean_absolute_error(logits, target)


class GeneralizedCrossEntropy(Loss):
    """Generalised cross-entropy: (1 − p_y^q)/q, between cross-entropy and absolute error.

    q → 0 gives :class:`CrossEntropy`; q = 1 gives 1 − p_y, half of :class:`MeanAbsoluteError` for
    class indices.

    - Gradient with respect to the logits: p_y^q (p − y) for class indices, cross-entropy's times
      p_y^q; in general ⟨y, p^q⟩ p − y ∘ p^q.
    - Range: [0, 1/q]; 0 at p_y = 1. Bounded.
    - Not convex in the logits.
    - Soft targets: yes, the expectation over labels drawn from y, Σ_i y_i (1 − p_i^q)/q. Its least
      value is then not at p = y.

    Args:
        q: In (0, 1]; 0.7 is usual.
        reduction: ``"mean"`` or ``"sum"`` over the batch, or ``"none"`` for ``(N,)``.

    Shapes:
        logits ``(N, K)``; target ``(N,)`` int64 or ``(N, K)`` probabilities; result ``()`` or
        ``(N,)``.

    Raises:
        ValueError: If q is outside (0, 1], or shapes, types or labels do not fit.

    Source: Zhang and Sabuncu 2018, *Generalized cross entropy loss for training deep neural
    networks with noisy labels*.

    >>> import torch
    >>> GeneralizedCrossEntropy(q=0.5)(torch.zeros(1, 4), torch.tensor([1]))  # 2 (1 − √¼)
    tensor(1.)
    """

    def __init__(self, q: float = 0.7, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        if not 0.0 < q <= 1.0:
            raise ValueError(
                f"q is {q}; allowed is 0 < q ≤ 1: 0.7 is usual, and the limit 0 is CrossEntropy"
            )
        self.q = q

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.generalized_cross_entropy(logits, target, q=self.q)
