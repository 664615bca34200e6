"""What all losses share: per-example values, reduced in one place."""

from abc import ABC, abstractmethod
from typing import Literal, get_args

from torch import Tensor, nn

Reduction = Literal["mean", "sum", "none"]


def check_reduction(reduction: str) -> None:
    """Raise ``ValueError`` unless ``reduction`` is one of torch's three."""
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction is {reduction!r}; allowed are mean, sum, none: choose one")


def reduce(per_example: Tensor, reduction: Reduction) -> Tensor:
    """Reduce ``(N,)`` to its mean or sum ``()``, or leave it as it is."""
    if reduction == "mean":
        return per_example.mean()
    return per_example.sum() if reduction == "sum" else per_example


class Loss(nn.Module, ABC):
    """A loss with torch's manners: ``loss(logits, target)``.

    To add one, write :meth:`per_example`; the rest of losslab needs nothing else.

    Args:
        reduction: ``"mean"`` or ``"sum"`` over the batch, or ``"none"`` for ``(N,)``.

    Raises:
        ValueError: If ``reduction`` is none of these.

    >>> import torch
    >>> class Linear(Loss):
    ...     def per_example(self, logits, target):
    ...         return -logits.gather(1, target.unsqueeze(1)).squeeze(1)
    >>> Linear(reduction="sum")(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1, 0]))
    tensor(-5.)
    """

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__()
        check_reduction(reduction)
        self.reduction: Reduction = reduction

    @abstractmethod
    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each example.

        Args:
            logits: ``(N, K)`` floating point.
            target: ``(N,)`` int64 class indices or ``(N, K)`` floating-point probabilities.

        Returns:
            ``(N,)``, float32 for half-precision logits, else of the logits' type.
        """

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return :meth:`per_example`, reduced: ``()``, or ``(N,)`` for ``"none"``.

        An empty batch has the sum 0 and, as in torch, the mean NaN.
        """
        return reduce(self.per_example(logits, target), self.reduction)

    def extra_repr(self) -> str:
        """Return the arguments, for ``repr``."""
        public = (item for item in vars(self).items() if item[0][0] != "_")
        return ", ".join(f"{name}={value!r}" for name, value in public if name != "training")
