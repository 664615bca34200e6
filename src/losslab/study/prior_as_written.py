"""The prior with the sign of Garg 2020 (experiments/science.md, S13), to show what it does."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from losslab.losses import GaussianPrior


@dataclass(frozen=True)
class PriorAsWritten:
    """The Gaussian prior with the sign of Garg 2020: +log g(W) = −‖W‖²/(2σ²).

    Not for training. From −log(P g) the text derives −log P + log g. The right result is
    −log P − log g, which is :class:`~losslab.losses.GaussianPrior`. The gradient here is −W/σ². It
    pushes every weight away from 0, larger ones harder: the objective has no minimum.

    Args:
        std: σ > 0, finite; otherwise a ``ValueError``, as for a call without parameters.

    Source: A. Garg 2020, *Cross entropy*, on maximum a posteriori.

    >>> import torch
    >>> PriorAsWritten(std=0.5)([torch.tensor([1.0, 2.0]), torch.tensor(1.0)])
    tensor(-12.)
    """

    std: float

    def __post_init__(self) -> None:
        GaussianPrior(self.std)  # raises for a σ out of range

    def __call__(self, parameters: Iterable[Tensor]) -> Tensor:
        """Return −‖W‖²/(2σ²), ``()``."""
        return -GaussianPrior(self.std)(parameters)
