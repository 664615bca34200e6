"""The losses as pure functions: ``(N, K)`` logits and a target give ``(N,)``.

The classes of the same names say more; :class:`losslab.losses.Loss` has the shapes and symbols.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from losslab.losses.base import label_error, only_labels, prepare

Activation = Literal["softmax", "sigmoid", "none"]
ClassReduction = Literal["mean", "sum"]

# No label has this value, so that torch ignores none in silence (its default skips −100).
_IGNORE_NOTHING = torch.iinfo(torch.int64).min


def cross_entropy(logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """−Σ y log p, with y ← (1 − ε) y + ε/K under label smoothing ε."""
    logits, target = prepare(logits, target)
    try:
        return nn.functional.cross_entropy(
            logits,
            target,
            reduction="none",
            ignore_index=_IGNORE_NOTHING,
            label_smoothing=label_smoothing,
        )
    except (IndexError, RuntimeError) as error:
        raise label_error(error, target, logits.shape[1]) from error


def kl_divergence(logits: Tensor, target: Tensor) -> Tensor:
    """Σ y log(y/p); cross-entropy for class indices, whose entropy is zero."""
    logits, target = prepare(logits, target)
    if target.dim() == 1:
        return cross_entropy(logits, target)
    return nn.functional.kl_div(logits.log_softmax(1), target, reduction="none").sum(1)


def check_one_sided(one_sided: bool, activation: Activation) -> None:
    """Raise ``ValueError`` unless ``one_sided`` is a bool that fits the activation."""
    if not isinstance(one_sided, bool):
        raise ValueError(f"one_sided is {one_sided!r}; allowed are true, false: choose one")
    if one_sided and activation != "none":
        raise ValueError(
            f"one_sided is true with activation {activation!r}; allowed is none: only raw scores "
            "can overshoot their targets"
        )


def squared_error(
    logits: Tensor,
    target: Tensor,
    *,
    activation: Activation = "softmax",
    class_reduction: ClassReduction = "mean",
    true_class_weight: float = 1.0,
    true_class_target: float = 1.0,
    one_sided: bool = False,
) -> Tensor:
    """Σ_i (1 + (k − 1) y_i) (a_i − M y_i)², a = activation(z); over K for ``"mean"``.

    With ``one_sided``, for raw scores and class indices only, k max(0, M − z_y)² +
    Σ_{i≠y} max(0, z_i)².
    """
    check_one_sided(one_sided, activation)
    logits, target = prepare(logits, target)
    if one_sided:
        only_labels(target, "one_sided", "the right side")
    if activation == "softmax":
        scores = logits.softmax(1)
    else:
        scores = logits.sigmoid() if activation == "sigmoid" else logits
    extra_weight = true_class_weight - 1.0
    if target.dim() == 2:
        squares = (scores - true_class_target * target).square()
        if extra_weight:
            squares = squares * (1.0 + extra_weight * target)
    else:
        # Shifting one entry of each row needs no one-hot matrix, and its gradient is the identity.
        index = target.unsqueeze(1)
        shift = torch.full_like(index, -true_class_target, dtype=scores.dtype)
        try:
            residuals = scores.scatter_add(1, index, shift)
        except (IndexError, RuntimeError) as error:
            raise label_error(error, target, logits.shape[1]) from error
        if one_sided:  # the true class errs below its target, the others above theirs
            wrong_side = torch.ones_like(residuals).scatter(1, index, -1.0)
            residuals = (wrong_side * residuals).relu()
        squares = residuals.square()
        if extra_weight:
            squares = squares.scatter_add(1, index, extra_weight * squares.gather(1, index))
    return squares.mean(1) if class_reduction == "mean" else squares.sum(1)


def mean_absolute_error(logits: Tensor, target: Tensor) -> Tensor:
    """Σ |p_i − y_i|; for class indices 2 (1 − p_y)."""
    logits, target = prepare(logits, target)
    if target.dim() == 2:
        return (logits.softmax(1) - target).abs().sum(1)
    return -2.0 * torch.expm1(-cross_entropy(logits, target))


def generalized_cross_entropy(logits: Tensor, target: Tensor, *, q: float = 0.7) -> Tensor:
    """Σ y (1 − p^q)/q, through expm1(q log p), which stays exact as q → 0."""
    logits, target = prepare(logits, target)
    if target.dim() == 2:
        return (target * torch.expm1(q * logits.log_softmax(1))).sum(1) / -q
    return torch.expm1(-q * cross_entropy(logits, target)) / -q


def focal(logits: Tensor, target: Tensor, *, gamma: float = 2.0) -> Tensor:
    """−Σ y (1 − p)^γ log p."""
    logits, target = prepare(logits, target)
    surprise = -logits.log_softmax(1) if target.dim() == 2 else cross_entropy(logits, target)
    # 1 − p may round to 0, where the slope of a power below 1 is infinite and ∞·0 is nan.
    wrong = (-torch.expm1(-surprise)).clamp_min(torch.finfo(surprise.dtype).tiny)
    values = wrong.pow(gamma) * surprise
    return (target * values).sum(1) if target.dim() == 2 else values


def multiclass_hinge(logits: Tensor, target: Tensor) -> Tensor:
    """Σ_{i≠y} max(0, z_i − z_y + 1), for class indices only."""
    logits, target = prepare(logits, target)
    only_labels(target, "the hinge", "a margin")
    # The true class itself adds max(0, 0 + 1) = 1 and no gradient.
    return (logits - _pick(logits, target) + 1.0).relu().sum(1) - 1.0


def squentropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy + Σ_i (1 − y_i) z_i² / (K − 1)."""
    logits, target = prepare(logits, target)
    entropy = cross_entropy(logits, target)
    if target.dim() == 2:
        squares = ((1.0 - target) * logits.square()).sum(1)
    else:
        squares = logits.scatter(1, target.unsqueeze(1), 0.0).square().sum(1)
    return entropy + squares / (logits.shape[1] - 1)


def unnormalized_cross_entropy(
    logits: Tensor, target: Tensor, *, activation: Literal["exp", "sigmoid"] = "exp"
) -> Tensor:
    """−Σ y log a with a = exp(z) or sigmoid(z), which do not sum to 1."""
    logits, target = prepare(logits, target)
    chosen = logits if target.dim() == 2 else _pick(logits, target)
    log_scores = chosen if activation == "exp" else nn.functional.logsigmoid(chosen)
    return -((target * log_scores).sum(1) if target.dim() == 2 else log_scores.squeeze(1))


def _pick(values: Tensor, labels: Tensor) -> Tensor:
    """Return the entry of each row that its label names: ``(N, K), (N,) -> (N, 1)``."""
    try:
        return values.gather(1, labels.unsqueeze(1))
    except (IndexError, RuntimeError) as error:
        raise label_error(error, labels, values.shape[1]) from error
