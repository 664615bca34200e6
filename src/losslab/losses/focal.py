"""Focal loss: cross-entropy that attends less to what is already right."""

import math

from torch import Tensor

from losslab.losses import functional
from losslab.losses.base import Loss, Reduction


class Focal(Loss):
    """Focal loss: −(1 − p_y)^γ log p_y, without the class weights α of its source.

    γ = 0 gives :class:`CrossEntropy`.

    - Gradient with respect to the logits, with c_i = (1 − p_i)^γ − γ p_i (1 − p_i)^(γ−1) log p_i:
      c_y (p − y) for class indices, cross-entropy's times c_y; in general ⟨y, c⟩ p − y ∘ c.
    - Range: [0, ∞), in nats. Not bounded.
    - Not convex in the logits for γ > 0; convex for γ = 0.
    - Soft targets: yes, the expectation over labels drawn from y, −Σ_i y_i (1 − p_i)^γ log p_i.
      Its least value is then not at p = y.

    Args:
        gamma: γ ≥ 0; 2 is usual.
        reduction: ``"mean"`` or ``"sum"`` over the batch, or ``"none"`` for ``(N,)``.

    Shapes:
        logits ``(N, K)``; target ``(N,)`` int64 or ``(N, K)`` probabilities; result ``()`` or
        ``(N,)``.

    Raises:
        ValueError: If γ is negative or not finite, or shapes, types or labels do not fit.

    Source: Lin et al. 2017, *Focal loss for dense object detection*.

    >>> import torch
    >>> Focal(gamma=2.0)(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))  # ¼ log 2
    tensor(0.1733)
    """

    def __init__(self, gamma: float = 2.0, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        if not (math.isfinite(gamma) and gamma >= 0.0):
            raise ValueError(f"gamma is {gamma}; allowed is a finite γ ≥ 0: 2 is usual")
        self.gamma = gamma

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.focal(logits, target, gamma=self.gamma)
