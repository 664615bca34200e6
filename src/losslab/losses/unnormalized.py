"""Cross-entropy without the normalisation, to show what softmax is for."""

from typing import Literal, get_args

from torch import Tensor

from losslab.losses import functional
from losslab.losses.base import Loss, Reduction

Activation = Literal["exp", "sigmoid"]


class UnnormalizedCrossEntropy(Loss):
    """Cross-entropy of scores that do not sum to 1: −Σ_i y_i log a_i, a = exp(z) or sigmoid(z).

    A demonstration, not a way to train: nothing lowers the scores of the wrong classes, so saying
    yes to every class is best. exp(z) is softmax without its division.

    - Gradient with respect to the logits: −y for exp, however right the network is already;
      −y ∘ (1 − σ(z)) for sigmoid.
    - Range: (−∞, ∞) for exp, −z_y itself, without a minimum; [0, ∞) for sigmoid. Not bounded.
    - Convex in the logits (for exp linear).
    - Soft targets: yes, the same formula.

    Args:
        activation: ``"exp"`` or ``"sigmoid"``; with softmax it would be :class:`CrossEntropy`.
        reduction: ``"mean"`` or ``"sum"`` over the batch, or ``"none"`` for ``(N,)``.

    Shapes:
        logits ``(N, K)``; target ``(N,)`` int64 or ``(N, K)`` probabilities; result ``()`` or
        ``(N,)``.

    Raises:
        ValueError: If the activation is unknown, or shapes, types or labels do not fit.

    Source: A. Garg 2020, *Cross entropy*, on why a score must be made a distribution.

    >>> import torch
    >>> UnnormalizedCrossEntropy()(torch.tensor([[1000.0, 1000.0]]), torch.tensor([0]))
    tensor(-1000.)
    """

    def __init__(self, activation: Activation = "exp", *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        if activation not in get_args(Activation):
            raise ValueError(
                f"activation is {activation!r}; allowed are exp, sigmoid: choose one "
                "(softmax is CrossEntropy)"
            )
        self.activation: Activation = activation

    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)``."""
        return functional.unnormalized_cross_entropy(logits, target, activation=self.activation)
