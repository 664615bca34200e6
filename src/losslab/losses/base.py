"""What all losses share: the checks of their arguments, and the reduction of their values."""

import math
from abc import ABC, abstractmethod
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

Reduction = Literal["mean", "sum", "none"]
HALF_PRECISION = (torch.float16, torch.bfloat16)


class Loss(nn.Module, ABC):
    """A loss that is called as torch's are: ``loss(logits, target)``.

    To add one, write :meth:`per_example`; the rest of losslab needs nothing else. In the
    docstrings z are the logits, p = softmax(z), y the target distribution, one-hot for a class
    index; gradients are those of one example with respect to its logits.

    - Shapes: logits ``(N, K)`` floating point, K ≥ 2; target ``(N,)`` int64 class indices or
      ``(N, K)`` floating-point probabilities, for which the formula is the same unless the loss
      says otherwise. Rows are not checked to sum to 1: the CPU would wait for the GPU.
    - Pixels of ``(N, K, H, W)`` are examples: ``logits.movedim(1, -1).flatten(0, -2)`` beside
      ``target.flatten()``. There are no class weights and there is no ignored label: weight or
      select the values that ``reduction="none"`` returns.
    - Result: float32 for half-precision logits, else of their type; ``()`` for ``reduction``
      ``"mean"`` (NaN for an empty batch, as in torch) or ``"sum"``, ``(N,)`` for ``"none"``.
    - ``ValueError``: another reduction, or shapes, types or labels that do not fit.

    >>> import torch
    >>> class Linear(Loss):
    ...     def per_example(self, logits, target):
    ...         return -logits.gather(1, target.unsqueeze(1)).squeeze(1)
    >>> Linear(reduction="sum")(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1, 0]))
    tensor(-5.)
    """

    batch_dependent = False
    """Whether the gradient of an example depends on the others of its batch."""

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__()
        check_choice("reduction", reduction, Reduction)
        self.reduction: Reduction = reduction

    @abstractmethod
    def per_example(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each example, ``(N,)``."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return :meth:`per_example`, reduced: ``()``, or ``(N,)`` for ``"none"``."""
        return reduce(self.per_example(logits, target), self.reduction)

    def extra_repr(self) -> str:
        """Return the arguments, for ``repr``."""
        arguments = (n for n in vars(self) if not n.startswith("_") and n != "training")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in arguments)


def reduce(per_example: Tensor, reduction: Reduction) -> Tensor:
    """Reduce ``(N,)`` to its mean or sum ``()``, or leave it as it is."""
    if reduction == "mean":
        return per_example.mean()
    return per_example.sum() if reduction == "sum" else per_example


def check_choice(name: str, value: object, choices: Any, *, hint: str = "") -> None:
    """Raise ``ValueError`` unless ``value`` is one of the words of the ``Literal`` ``choices``."""
    allowed = get_args(choices)
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed are {', '.join(allowed)}: choose one{hint}")


def checked(name: str, value: float, *, fits: bool, allowed: str) -> float:
    """Return ``value`` if it ``fits``, else raise ``ValueError`` with what is allowed."""
    if not fits:
        raise ValueError(f"{name} is {value}; allowed is {allowed}")
    return value


def positive(name: str, value: float) -> float:
    """Return ``value`` if it is a finite number above zero, else raise ``ValueError``."""
    fits = math.isfinite(value) and value > 0
    return checked(name, value, fits=fits, allowed="a finite number above 0: choose one")


def prepare(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Check shapes and types; return the logits, at least float32, and the target to match."""
    for name, value in {"logits": logits, "target": target}.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"{name} is a {type(value).__name__}; allowed is a torch tensor: use "
                "torch.as_tensor()"
            )
    shape = tuple(logits.shape)
    if logits.dim() != 2 or shape[1] < 2:
        advice = "give one row per example and one column per class"
        if logits.dim() > 2:  # as torch.nn.CrossEntropyLoss takes them
            advice = "of (N, K, ...) give logits.movedim(1, -1).flatten(0, -2), target.flatten()"
        raise ValueError(
            f"logits have shape {shape}; allowed is (N, K) with K ≥ 2 classes: {advice}"
        )
    if not logits.is_floating_point():
        raise ValueError(
            f"logits are {logits.dtype}; allowed is floating point: use logits.float()"
        )
    if logits.dtype in HALF_PRECISION:
        logits = logits.float()
    if target.shape == logits.shape[:1]:
        if target.dtype != torch.int64:
            raise ValueError(
                f"class indices are {target.dtype}; allowed is torch.int64: use target.long()"
            )
        return logits, target
    if target.shape != logits.shape:
        raise ValueError(
            f"target has shape {tuple(target.shape)} beside logits {shape}; allowed are "
            f"({shape[0]},) class indices or {shape} class probabilities: reshape the target"
        )
    if not target.is_floating_point():
        raise ValueError(
            f"class probabilities are {target.dtype}; allowed is floating point: use "
            "target.float(), or give class indices of shape (N,)"
        )
    return logits, target.to(logits.dtype)


def only_labels(target: Tensor, loss: str, reason: str) -> None:
    """Raise ``ValueError`` for a soft target, which ``loss`` does not allow."""
    if target.dim() == 2:
        raise ValueError(
            f"target has shape {tuple(target.shape)}; {loss} allows (N,) class indices only, "
            f"{reason} needs one true class: use target.argmax(1)"
        )


def label_error(error: Exception, target: Tensor, num_classes: int) -> Exception:
    """Return a clearer error if torch's indexing failed because a label is out of range."""
    if target.is_cuda or target.numel() == 0:
        return error
    low, high = int(target.min()), int(target.max())
    if low >= 0 and high < num_classes:
        return error
    return ValueError(
        f"labels lie in {low}…{high}; allowed are 0…{num_classes - 1} for {num_classes} logits: "
        "correct the labels or give the model one output per class"
    )
