"""Squentropy: cross-entropy plus squared error on the wrong classes."""

from torch import Tensor

from losslab.losses import functional
from losslab.losses.base import Loss


class Squentropy(Loss):
    """Squentropy: −log p_y + (1/(K − 1)) Σ_{i≠y} z_i², p = softmax(z).

    The second term holds the scores of the wrong classes near 0, which fixes the shift that
    softmax leaves free.

    - Gradient with respect to the logits: (p − y) + (2/(K − 1)) (1 − y) ∘ z.
    - Range: [0, ∞). Not bounded.
    - Convex in the logits.
    - Soft targets: yes, the expectation over labels drawn from y, −Σ_i y_i log p_i +
      (1/(K − 1)) Σ_i (1 − y_i) z_i².

    Args:
        reduction: ``"mean"`` or ``"sum"`` over the batch, or ``"none"`` for ``(N,)``.

    Shapes:
        logits ``(N, K)``; target ``(N,)`` int64 or ``(N, K)`` probabilities; result ``()`` or
        ``(N,)``.

    Raises:
        ValueError: If shapes, types or labels do not fit.

    Source: Hui, Belkin and Wright 2023, *Cut your losses with squentropy*.

    >>> import torch
    >>> Squentropy()(torch.tensor([[5.0, 1.0, -2.0]]), torch.tensor([0]))  # 0.0190 + (1 + 4)/2
    tensor(2.5190)
    """

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.squentropy(logits, target)
