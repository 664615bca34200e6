"""Alternatives to cross-entropy and squared error: focal, squentropy, bounded losses, hinge."""

import math

from torch import Tensor

from losslab.losses import functional
from losslab.losses.base import Loss, Reduction, checked


class Focal(Loss):
    """Focal loss: −(1 − p_y)^γ log p_y, without the class weights α of its source.

    Cross-entropy that attends less to what is already right; ``gamma`` = 0 gives
    :class:`CrossEntropy`, and 2 is usual.

    - Gradient: with c_i = (1 − p_i)^γ − γ p_i (1 − p_i)^(γ−1) log p_i it is c_y (p − y) for class
      indices, cross-entropy's times c_y; in general ⟨y, c⟩ p − y ∘ c.
    - Range: [0, ∞), in nats. Convex in the logits only for γ = 0.
    - Soft targets give −Σ_i y_i (1 − p_i)^γ log p_i, whose least value is not at p = y.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`, and for γ < 0 or not finite.

    Source: Lin et al. 2017, *Focal loss for dense object detection*.

    >>> import torch
    >>> Focal(gamma=2.0)(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))  # ¼ log 2
    tensor(0.1733)
    """

    def __init__(self, gamma: float = 2.0, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        fits = math.isfinite(gamma) and gamma >= 0.0
        self.gamma = checked("gamma", gamma, fits=fits, allowed="a finite γ ≥ 0: 2 is usual")

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.focal(logits, target, gamma=self.gamma)


class Squentropy(Loss):
    """Squentropy: −log p_y + (1/(K − 1)) Σ_{i≠y} z_i², p = softmax(z).

    The second term holds the scores of the wrong classes near 0, which fixes the shift that
    softmax leaves free.

    - Gradient: (p − y) + (2/(K − 1)) (1 − y) ∘ z.
    - Range: [0, ∞). Convex in the logits.
    - Soft targets give −Σ_i y_i log p_i + (1/(K − 1)) Σ_i (1 − y_i) z_i².
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`.

    Source: Hui, Belkin and Wright 2023, *Cut your losses with squentropy*.

    >>> import torch
    >>> Squentropy()(torch.tensor([[5.0, 1.0, -2.0]]), torch.tensor([0]))  # 0.0190 + (1 + 4)/2
    tensor(2.5190)
    """

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.squentropy(logits, target)


class MeanAbsoluteError(Loss):
    """Absolute error after softmax: Σ_i |p_i − y_i|, for class indices 2 (1 − p_y).

    Summed over the classes, no 1/K, as in the literature on label noise.

    - Gradient: 2 p_y (p − y) for class indices; p ∘ (s − ⟨p, s⟩1) with s = sign(p − y) for soft
      targets. It vanishes where p_y does: the badly wrong examples, the mislabelled and the merely
      hard alike, are not learned.
    - Range: [0, 2]; 0 at p = y. Its sum over all K labels is constant, 2 (K − 1). Not convex in
      the logits.
    - Soft targets give the distance itself, not its expectation over labels drawn from y.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`.

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
    class indices; 0.7 is usual.

    - Gradient: p_y^q (p − y) for class indices, cross-entropy's times p_y^q; in general
      ⟨y, p^q⟩ p − y ∘ p^q.
    - Range: [0, 1/q]; 0 at p_y = 1. Not convex in the logits.
    - Soft targets give Σ_i y_i (1 − p_i^q)/q, whose least value is not at p = y.
    - Shapes: logits ``(N, K)``, target ``(N,)`` or ``(N, K)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`, and for q outside (0, 1].

    Source: Zhang and Sabuncu 2018, *Generalized cross entropy loss for training deep neural
    networks with noisy labels*.

    >>> import torch
    >>> GeneralizedCrossEntropy(q=0.5)(torch.zeros(1, 4), torch.tensor([1]))  # 2 (1 − √¼)
    tensor(1.)
    """

    def __init__(self, q: float = 0.7, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        allowed = "0 < q ≤ 1: 0.7 is usual, and the limit 0 is CrossEntropy"
        self.q = checked("q", q, fits=0.0 < q <= 1.0, allowed=allowed)

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.generalized_cross_entropy(logits, target, q=self.q)


class MulticlassHinge(Loss):
    """Multi-class hinge: Σ_{i≠y} max(0, z_i − z_y + 1), summed over the classes, no 1/K.

    The multi-class support-vector machine's loss, K times ``torch.nn.MultiMarginLoss``, which
    averages. It asks only that the true class lead every other by a margin of 1 and reads no
    probability from the scores.

    - Gradient: 1 for each class i ≠ y with z_i > z_y − 1, minus their number for y; elsewhere 0
      (also at the kink, where any slope from 0 to 1 is a subgradient).
    - Range: [0, ∞); 0 where every margin is at least 1. Convex in the logits, piecewise linear.
    - Shapes: logits ``(N, K)``, target ``(N,)``, result ``()`` or ``(N,)``.
    - ``ValueError``: as :class:`Loss`, and for soft targets, since a margin needs one true class.

    Source: Weston and Watkins 1999, *Support vector machines for multi-class pattern recognition*;
    cs231n, *Linear classification*.

    >>> import torch
    >>> MulticlassHinge()(torch.tensor([[3.0, 2.5, -1.0]]), torch.tensor([0]))
    tensor(0.5000)
    """

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.multiclass_hinge(logits, target)
