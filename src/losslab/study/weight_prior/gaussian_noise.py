"""Squared error as a likelihood: λ = 2τ²/(NKσ²), checked by training in float64."""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from losslab.losses import MAP, FlatPrior, SquaredError
from losslab.report.measurement import Measurement
from losslab.study.measure import Runs
from losslab.study.over_seeds import over_seeds
from losslab.study.weight_prior.float64 import CLASSES, EXAMPLES, path, relative_difference
from losslab.study.weight_prior.squared_error import implied_std


def gaussian_noise(
    runs: Runs, *, weight_decay: float, noise: float, steps: int, seeds: list[int]
) -> Measurement:
    """Check λ = 2τ²/(NKσ²) by training: float64, whole densities from ``torch.distributions``.

    One side is ``SquaredError`` with weight decay λ and learning rate η. The other is minus the
    log of likelihood times prior, noise τ and width σ, with learning rate η·2τ²/K, which undoes
    that squared error leaves out 1/(2τ²) and averages over K classes.

    Args:
        runs: None needed.
        weight_decay: λ.
        noise: τ.
        steps: Updates.
        seeds: Of points, initial weights and batches.
    """
    del runs
    rate, factor = 0.05, 2 * noise**2 / CLASSES
    right = implied_std(weight_decay, size=EXAMPLES, classes=CLASSES, noise=noise)
    as_cross_entropy = 1 / math.sqrt(weight_decay * EXAMPLES)
    differences: dict[float, list[float]] = {right: [], as_cross_entropy: []}
    squared = MAP(SquaredError("none", "mean"), FlatPrior(), EXAMPLES)
    for seed in seeds:
        optimizer = partial(torch.optim.SGD, lr=rate, weight_decay=weight_decay)
        decayed = path(optimizer, squared, seed=seed, steps=steps)
        for std, found in differences.items():
            full = MAP(GaussianNoise(noise), partial(_minus_log_density, std=std), EXAMPLES)
            bayes = path(partial(torch.optim.SGD, lr=rate * factor), full, seed=seed, steps=steps)
            found.append(max(map(relative_difference, bayes, decayed)))
    what = f"largest ‖W − W'‖/‖W'‖ of {steps} steps in float64, Bayes' rule with "
    return Measurement(
        quantities={
            "formula": over_seeds(
                differences[right], f"{what}σ = τ√(2/(NKλ)) = {right:.3g} beside weight decay λ"
            ),
            "reused": over_seeds(
                differences[as_cross_entropy],
                f"{what}cross-entropy's σ = 1/√(λN) = {as_cross_entropy:.3g} beside weight decay λ",
            ),
        }
    )


class GaussianNoise(nn.Module):
    """−log N(y; z, τ²I) of one-hot y, constants included.

    Args:
        noise: τ.
    """

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return ``(N,)`` of logits ``(N, K)`` and labels ``(N,)``."""
        one_hot = nn.functional.one_hot(target, logits.shape[1]).to(logits.dtype)
        log_density: Tensor = Normal(logits, self.noise).log_prob(one_hot)  # type: ignore[no-untyped-call]
        return -log_density.sum(dim=1)


def _minus_log_density(parameters: list[Tensor], *, std: float) -> Tensor:
    vector = nn.utils.parameters_to_vector(parameters)
    log_density: Tensor = Normal(torch.zeros_like(vector), std).log_prob(vector)  # type: ignore[no-untyped-call]
    return -log_density.sum()
