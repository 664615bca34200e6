"""The losses as pure functions of logits ``(N, K)`` and a target, with values ``(N,)``.

The classes of the same names are documented in full; :class:`losslab.losses.Loss` has the shapes
and symbols. The classes check when they are made that numbers such as γ are in range; these
functions do not.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from losslab.losses.base import check_choice, label_error, only_labels, prepare

Activation = Literal["softmax", "sigmoid", "none"]
ClassReduction = Literal["mean", "sum"]
Unnormalized = Literal["exp", "sigmoid"]

# No label has this value, so torch ignores no example; by default it skips the label −100.
_IGNORE_NOTHING = torch.iinfo(torch.int64).min
# One more than float64 needs with 1,000 classes, t = 4 and logits of any size.
_NEWTON_STEPS = 8


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


def check_squared_error(
    activation: Activation, class_reduction: ClassReduction, one_sided: bool
) -> None:
    """Raise ``ValueError`` for an unknown word, or if ``one_sided`` does not fit them."""
    check_choice("activation", activation, Activation)
    check_choice("class_reduction", class_reduction, ClassReduction)
    if not isinstance(one_sided, bool):
        raise ValueError(f"one_sided is {one_sided!r}; allowed are true, false: choose one")
    if one_sided and activation != "none":
        raise ValueError(
            f"one_sided is true with activation {activation!r}; allowed is none: only raw outputs "
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

    With ``one_sided``, for raw outputs and class indices only, k max(0, M − z_y)² +
    Σ_{i≠y} max(0, z_i)².
    """
    check_squared_error(activation, class_reduction, one_sided)
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
    return _of_surprisal(lambda surprisal: torch.expm1(-q * surprisal) / -q, logits, target)


def focal(logits: Tensor, target: Tensor, *, gamma: float = 2.0) -> Tensor:
    """−Σ y (1 − p)^γ log p."""

    def values(surprisal: Tensor) -> Tensor:
        # 1 − p may round to 0, where the slope of a power below 1 is infinite and ∞·0 is nan.
        wrong = (-torch.expm1(-surprisal)).clamp_min(torch.finfo(surprisal.dtype).tiny)
        return wrong.pow(gamma) * surprisal

    return _of_surprisal(values, logits, target)


def poly_loss(logits: Tensor, target: Tensor, *, epsilon: float = 1.0) -> Tensor:
    """Σ y (ε (1 − p) − log p)."""
    return _of_surprisal(lambda s: s - epsilon * torch.expm1(-s), logits, target)


def taylor_cross_entropy(logits: Tensor, target: Tensor, *, order: int = 2) -> Tensor:
    """Σ y Σ_{n=1}^t (1 − p)^n/n, t the order: the first terms of −log p."""

    def values(surprisal: Tensor) -> Tensor:
        wrong, total = -torch.expm1(-surprisal), torch.zeros_like(surprisal)
        for n in range(order, 0, -1):
            total = wrong * (1.0 / n + total)
        return total

    return _of_surprisal(values, logits, target)


def symmetric_cross_entropy(
    logits: Tensor, target: Tensor, *, alpha: float = 0.1, beta: float = 1.0, floor: float = -4.0
) -> Tensor:
    """−α Σ y log p − β Σ p max(log y, A), A the floor."""
    logits, target = prepare(logits, target)
    surprisal = cross_entropy(logits, target)
    if target.dim() == 2:
        reverse = -(logits.softmax(1) * target.log().clamp_min(floor)).sum(1)
    else:  # −A (1 − p_y)
        reverse = floor * torch.expm1(-surprisal)
    return alpha * surprisal + beta * reverse


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """−Σ y log σ(z) + (1 − y) log σ(−z)."""
    logits, target = prepare(logits, target)
    y = target if target.dim() == 2 else _one_hot(target, logits)
    log_sigmoid = nn.functional.logsigmoid
    return -(y * log_sigmoid(logits) + (1.0 - y) * log_sigmoid(-logits)).sum(1)


def logit_normalization(logits: Tensor, target: Tensor, *, temperature: float = 0.04) -> Tensor:
    """Cross-entropy of z/(τ ‖z‖), τ the temperature; of 0 for z = 0."""
    logits, target = prepare(logits, target)
    squares = logits.square().sum(1, keepdim=True)
    # The root's slope at 0 is infinite, and ∞·0 is nan.
    lengths = torch.where(squares > 0, squares, 1.0).sqrt()
    return cross_entropy(logits / (temperature * lengths), target)


def bi_tempered(logits: Tensor, target: Tensor, *, t1: float = 0.8, t2: float = 1.2) -> Tensor:
    """Σ y (log_t1 y − log_t1 p) − (y^(2 − t1) − p^(2 − t1))/(2 − t1), p = exp_t2(z − λ)."""
    logits, target = prepare(logits, target)
    log_p = _tempered_log_softmax(logits, t2)
    y = target if target.dim() == 2 else _one_hot(target, logits)
    log_y = y.clamp_min(torch.finfo(y.dtype).tiny).log()
    values = y * (_tempered_log(log_y, t1) - _tempered_log(log_p, t1))
    masses = ((2.0 - t1) * log_p).exp() - ((2.0 - t1) * log_y).exp()
    return (values + masses / (2.0 - t1)).sum(1)


def _tempered_log(log: Tensor, t: float) -> Tensor:
    """Return log_t x = (x^(1 − t) − 1)/(1 − t), given log x; t ≠ 1."""
    return torch.expm1((1.0 - t) * log) / (1.0 - t)


def _tempered_log_softmax(logits: Tensor, t: float) -> Tensor:
    """Return log p, p = exp_t(z − λ), λ such that it sums to 1; t > 1: ``(N, K) -> (N, K)``.

    With s(λ) = Σ exp_t(z − λ), s^(1 − t) is concave and nearly linear in λ, so that Newton's method
    for s^(1 − t) = 1, begun at the largest logit, rises to λ without passing it. The gradient is
    that of the last two steps, which have first and second derivatives as λ has them.
    """
    fixed = logits.detach()
    normalizer = fixed.amax(1, keepdim=True)
    for step in range(_NEWTON_STEPS):
        z = fixed if step < _NEWTON_STEPS - 2 else logits
        log_p = torch.log1p((t - 1.0) * (normalizer - z)) / (1.0 - t)
        total = log_p.exp().sum(1, keepdim=True)
        rise = total * torch.expm1((t - 1.0) * total.log()) / (t - 1.0)
        normalizer = normalizer + rise / (t * log_p).exp().sum(1, keepdim=True)
    return torch.log1p((t - 1.0) * (normalizer - logits)) / (1.0 - t)


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


def check_unnormalized(activation: Unnormalized) -> None:
    """Raise ``ValueError`` for another activation."""
    check_choice("activation", activation, Unnormalized, hint=" (softmax is CrossEntropy)")


def unnormalized_cross_entropy(
    logits: Tensor, target: Tensor, *, activation: Unnormalized = "exp"
) -> Tensor:
    """−Σ y log a with a = exp(z) or sigmoid(z), which do not sum to 1."""
    check_unnormalized(activation)
    logits, target = prepare(logits, target)
    z = logits if target.dim() == 2 else _pick(logits, target)
    log_scores = z if activation == "exp" else nn.functional.logsigmoid(z)
    return -((target * log_scores).sum(1) if target.dim() == 2 else log_scores.squeeze(1))


def _pick(values: Tensor, labels: Tensor) -> Tensor:
    """Return the entry of each row at its label: ``(N, K), (N,) -> (N, 1)``."""
    try:
        return values.gather(1, labels.unsqueeze(1))
    except (IndexError, RuntimeError) as error:
        raise label_error(error, labels, values.shape[1]) from error


def _one_hot(labels: Tensor, logits: Tensor) -> Tensor:
    """Return labels ``(N,)`` as probabilities like the logits, ``(N, K)``."""
    try:
        return torch.zeros_like(logits).scatter(1, labels.unsqueeze(1), 1.0)
    except (IndexError, RuntimeError) as error:
        raise label_error(error, labels, logits.shape[1]) from error


def _of_surprisal(values: Callable[[Tensor], Tensor], logits: Tensor, target: Tensor) -> Tensor:
    """Return Σ y f(−log p) for an elementwise f."""
    logits, target = prepare(logits, target)
    if target.dim() == 2:
        return (target * values(-logits.log_softmax(1))).sum(1)
    return values(cross_entropy(logits, target))
