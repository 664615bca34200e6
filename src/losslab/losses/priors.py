"""Prior beliefs about the weights, as penalties −log g(W) up to a constant.

W are all entries of all parameters that are passed: ``model.parameters()`` includes biases and the
scales and shifts of normalisation layers, as for an optimizer's ``weight_decay``. Parameters
that are frozen add a constant. Half-precision ones are summed in float32.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from losslab.losses.base import HALF_PRECISION, positive

Prior = Callable[[Iterable[Tensor]], Tensor]
"""Anything that turns parameters into a scalar penalty −log g(W) + const, ``()``."""


@dataclass(frozen=True)
class GaussianPrior:
    """Every weight is normal with mean 0 and standard deviation σ: ‖W‖²/(2σ²).

    The negative log-density is ‖W‖²/(2σ²) + const, a half and no 1/N; :class:`MAP` divides by N.
    Its gradient is W/σ². Small σ means small weights.

    Beside a mean loss over N examples this is torch's ``SGD(weight_decay=λ)`` or
    ``Adam(weight_decay=λ)``, which add λW to the gradient, with λ = 1/(σ²N). It is not
    ``AdamW``, whose decay bypasses the moments.

    Args:
        std: σ > 0, finite; else, or where no parameters are given, a ``ValueError``.

    Source: MacKay 1992, *A practical Bayesian framework for backpropagation networks*.

    >>> GaussianPrior(std=0.5)([torch.tensor([1.0, 2.0]), torch.tensor(1.0)])  # 6/(2·¼)
    tensor(12.)
    """

    std: float

    def __post_init__(self) -> None:
        positive("std", self.std)

    def __call__(self, parameters: Iterable[Tensor]) -> Tensor:
        """Return ‖W‖²/(2σ²) of all entries of all parameters, ``()``."""
        # Not weights.dot(weights), whose error on the CPU reaches 10⁻⁴ for ten million weights.
        return _flat(parameters).square().sum() / (2.0 * self.std**2)


@dataclass(frozen=True)
class LaplacePrior:
    """Every weight is Laplace-distributed with mean 0 and scale b: ‖W‖₁/b.

    The negative log-density is ‖W‖₁/b + const. Its gradient, sign(W)/b, is as strong for small
    weights as for large ones and so draws weights to exactly 0. The standard deviation is √2 b.

    Args:
        scale: b > 0, finite; else, or where no parameters are given, a ``ValueError``.

    Source: Williams 1995, *Bayesian regularization and pruning using a Laplace prior*.

    >>> LaplacePrior(scale=0.5)([torch.tensor([1.0, -2.0]), torch.tensor(1.0)])
    tensor(8.)
    """

    scale: float

    def __post_init__(self) -> None:
        positive("scale", self.scale)

    def __call__(self, parameters: Iterable[Tensor]) -> Tensor:
        """Return ‖W‖₁/b of all entries of all parameters, ``()``."""
        return _flat(parameters).abs().sum() / self.scale


@dataclass(frozen=True)
class FlatPrior:
    """All weights are equally likely: 0. MAP under it is maximum likelihood.

    >>> FlatPrior()([torch.tensor([1.0, 2.0])])
    tensor(0.)
    """

    def __call__(self, parameters: Iterable[Tensor]) -> Tensor:  # noqa: ARG002
        """Return 0, ``()``, without looking at the parameters."""
        return torch.zeros(())


def _flat(parameters: Iterable[Tensor]) -> Tensor:
    given: list[Any] = list(parameters)
    wrong = [type(each).__name__ for each in given if not isinstance(each, Tensor)]
    if wrong:
        raise ValueError(
            f"the parameters hold a {wrong[0]}; allowed are torch tensors: give model.parameters()"
        )
    # One copy and three operations in all; tensor by tensor, each would take three operations.
    vectors = [parameter.reshape(-1) for parameter in given]
    if not vectors:
        raise ValueError(
            "no parameters were given; the prior needs at least one: give model.parameters(), "
            "again for every call"
        )
    weights = torch.cat(vectors)
    return weights.float() if weights.dtype in HALF_PRECISION else weights
