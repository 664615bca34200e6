"""What a loss accepts, checked without reading a value back from the device."""

import math

import torch
from torch import Tensor

HALF_PRECISION = (torch.float16, torch.bfloat16)


def prepare(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Check shapes and types; return both ready to compute with.

    Half-precision logits become float32, so that sums accumulate there. Only shapes and types are
    looked at: looking at values would make the processor wait for the GPU in every step.

    Args:
        logits: ``(N, K)`` floating point, K ≥ 2.
        target: ``(N,)`` int64 class indices, or ``(N, K)`` floating-point probabilities.

    Returns:
        Logits ``(N, K)`` and target, a soft target in the type of the logits.

    Raises:
        ValueError: If a shape or a type is not one of these.
    """
    shape = tuple(logits.shape)
    if logits.dim() != 2 or shape[1] < 2:
        raise ValueError(
            f"logits have shape {shape}; allowed is (N, K) with K ≥ 2 classes: "
            "give one row per example and one column per class"
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


def label_error(error: Exception, target: Tensor, num_classes: int) -> Exception:
    """Return a clearer error if labels outside the classes are why torch's indexing failed."""
    if target.is_cuda or target.numel() == 0:
        return error
    low, high = int(target.min()), int(target.max())
    if low >= 0 and high < num_classes:
        return error
    return ValueError(
        f"labels lie in {low}…{high}; allowed are 0…{num_classes - 1} for {num_classes} logits: "
        "correct the labels or give the model one output per class"
    )


def pick(values: Tensor, labels: Tensor) -> Tensor:
    """Return the entry of each row that its label names: ``(N, K), (N,) -> (N, 1)``."""
    try:
        return values.gather(1, labels.unsqueeze(1))
    except (IndexError, RuntimeError) as error:
        raise label_error(error, labels, values.shape[1]) from error


def positive(name: str, value: float) -> float:
    """Return ``value`` if it is a finite number above zero, else raise ``ValueError``."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value}; allowed is a finite number above 0: choose one")
    return value
