"""Entropy, cross-entropy and KL divergence of distributions.

These take probabilities, check them, and may be infinite; they are for a study or a plot. To train,
use the losses, which take logits and stay finite.

Everywhere p and q are ``(..., K)`` probabilities, each row of which sums to 1; the result is
``(...)``, in ``"nats"`` (natural logarithm) or ``"bits"`` (base 2). A row that is not a
distribution, different numbers of outcomes K and an unknown unit raise ``ValueError``.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from losslab.losses.base import HALF_PRECISION, check_choice

Unit = Literal["nats", "bits"]


def entropy(p: Tensor, *, unit: Unit = "nats") -> Tensor:
    """Return H(p) = −Σ p log p, the mean surprise, with 0·log 0 = 0: ``(..., K) -> (...)``.

    Between 0, where one outcome is certain, and log K, where all K are equally likely.

    Source: Shannon 1948, *A mathematical theory of communication*.

    >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), unit="bits").tolist()
    [1.0, 0.0]
    """
    return _in_unit(torch.special.entr(_distribution("p", p)).sum(-1), unit)


def cross_entropy(p: Tensor, q: Tensor, *, unit: Unit = "nats") -> Tensor:
    """Return H(p, q) = −Σ p log q, the mean code length for p under a code made for q.

    At least H(p), and H(p, q) = H(p) + KL(p‖q). +∞ where q gives 0 to what p does not.

    Args:
        p: ``(..., K)`` true probabilities.
        q: ``(..., K)`` predicted probabilities; leading axes broadcast with those of ``p``.
        unit: ``"nats"`` or ``"bits"``.

    >>> coin, loaded = torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])
    >>> round(cross_entropy(coin, loaded, unit="bits").item(), 4)
    1.2075
    >>> cross_entropy(coin, torch.tensor([0.0, 1.0]))
    tensor(inf)
    """
    p, q = _pair(p, q)
    # The sign is inside because a code length of 0 would otherwise be −0.
    return _in_unit(torch.xlogy(-p, q).sum(-1), unit)


def kl_divergence(p: Tensor, q: Tensor, *, unit: Unit = "nats") -> Tensor:
    """Return KL(p‖q) = Σ p log(p/q), the code length lost by coding p as if it were q.

    Never negative, 0 only for p = q, not symmetric, no triangle inequality. +∞ where q gives 0 to
    what p does not. The arguments are those of :func:`cross_entropy`.

    Source: Kullback and Leibler 1951, *On information and sufficiency*.

    >>> coin, loaded = torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])
    >>> round(kl_divergence(coin, loaded).item(), 4), round(kl_divergence(loaded, coin).item(), 4)
    (0.1438, 0.1308)
    """
    p, q = _pair(p, q)
    # A divergence is never negative, but rounding can make the sum so.
    return _in_unit((torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1).clamp_min(0.0), unit)


def _in_unit(nats: Tensor, unit: Unit) -> Tensor:
    check_choice("unit", unit, Unit)
    return nats / math.log(2) if unit == "bits" else nats


def _pair(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    p, q = _distribution("p", p), _distribution("q", q)
    if p.shape[-1] != q.shape[-1]:
        raise ValueError(
            f"p has {p.shape[-1]} outcomes and q has {q.shape[-1]}; allowed is the same number: "
            "give distributions over the same outcomes"
        )
    return p, q


def _distribution(name: str, values: Tensor) -> Tensor:
    if not isinstance(values, Tensor):
        raise ValueError(
            f"{name} is a {type(values).__name__}; allowed is a torch tensor: use torch.as_tensor()"
        )
    if values.dim() == 0 or not values.is_floating_point():
        raise ValueError(
            f"{name} is {values.dtype} of shape {tuple(values.shape)}; allowed is floating "
            "point of shape (..., K): give probabilities along the last axis"
        )
    # Rounding of K probabilities grows with their type's precision; √eps is far above it.
    tolerance = torch.finfo(values.dtype).eps ** 0.5
    if values.dtype in HALF_PRECISION:
        values = values.float()
    if not bool((values >= 0).all()):
        raise ValueError(
            f"{name} holds {values.min().item():.6g}; allowed are probabilities of at least 0: "
            "give softmax(logits), not logits"
        )
    sums = values.sum(-1)
    if not bool(((sums - 1.0).abs() <= tolerance).all()):
        worst = sums.flatten()[(sums - 1.0).abs().argmax()].item()
        raise ValueError(
            f"{name} sums to {worst:.6g} along the last axis; allowed is 1: divide by the sum"
        )
    return values
