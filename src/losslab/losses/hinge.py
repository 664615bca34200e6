"""The multi-class support-vector machine's loss."""

from torch import Tensor

from losslab.losses import functional
from losslab.losses.base import Loss


class MulticlassHinge(Loss):
    """Multi-class hinge: Σ_{i≠y} max(0, z_i − z_y + 1), summed over the classes, no 1/K.

    K times ``torch.nn.MultiMarginLoss``, which averages. It asks only that the true class lead
    every other by a margin of 1 and reads no probability from the scores.

    - Gradient with respect to the logits: 1 for each class i ≠ y with z_i > z_y − 1, minus their
      number for y; elsewhere 0 (also at the kink, where any slope from 0 to 1 is a subgradient).
    - Range: [0, ∞); 0 where every margin is at least 1. Not bounded.
    - Convex in the logits, piecewise linear.
    - Soft targets: refused, a margin needs one true class.

    Args:
        reduction: ``"mean"`` or ``"sum"`` over the batch, or ``"none"`` for ``(N,)``.

    Shapes:
        logits ``(N, K)``; target ``(N,)`` int64; result ``()`` or ``(N,)``.

    Raises:
        ValueError: If the target is soft, or shapes, types or labels do not fit.

    Source: Weston and Watkins 1999, *Support vector machines for multi-class pattern recognition*;
    cs231n, *Linear classification*.

    >>> import torch
    >>> MulticlassHinge()(torch.tensor([[3.0, 2.5, -1.0]]), torch.tensor([0]))
    tensor(0.5000)
    """

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.multiclass_hinge(logits, target)
