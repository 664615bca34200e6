"""The same weight decay under squared error is another prior: λ = 2τ²/(NKσ²)."""

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from losslab.losses import MAP, FlatPrior, SquaredError
from losslab.recording import Run
from losslab.report.measurement import Measurement, TableOfNumbers
from losslab.report.statistics import FloatArray
from losslab.study.measure import Runs, final_weights, of_config, over_seeds, pairs, predictions
from weight_prior.weight_decay import CLASSES, EXAMPLES, path, relative_difference


def squared_error(runs: Runs) -> Measurement:
    """Measure which prior a weight decay λ is under squared error, and under cross-entropy.

    Cross-entropy is a likelihood as it stands: λ = 1/(σ²N). Squared error averaged over K classes
    is the likelihood of targets with Gaussian noise of variance τ², times 2τ²/K, so that
    λ = 2τ²/(NKσ²) (see :func:`implied_std`). τ is measured on the validation part: the root mean
    square of z − y over examples and classes.

    Args:
        runs: ``mse_decay`` and ``mse_prior``, squared error with weight decay λ and under
            ``GaussianPrior(std=1/√(λN))``; ``momentum_decay``, cross-entropy with weight decay λ.
    """
    decayed = runs["mse_decay"]
    decay = of_config([*decayed, *runs["momentum_decay"]], "optimizer.weight_decay")
    size = int(of_config([*decayed, *runs["momentum_decay"]], "data.train_size"))
    classes = _validation(decayed[0])[0].shape[1]
    noise = np.array([residual(*_validation(point)) for point in decayed])
    meant = 1 / math.sqrt(decay * size)
    implied = np.array([implied_std(decay, size=size, classes=classes, noise=tau) for tau in noise])
    differences = [
        relative_difference(*map(final_weights, couple))
        for couple in pairs(runs["mse_prior"], decayed)
    ]
    quantities = {
        "agreement": over_seeds(
            differences,
            "‖W − W'‖/‖W'‖ of the final weights, MAP of squared error with std = 1/√(λN) and "
            "squared error with weight decay λ",
        ),
        "noise": over_seeds(noise, "τ, root mean square of z − y on validation"),
        "implied_std": over_seeds(
            implied, f"σ = τ√(2/(NKλ)) that λ = {decay:g} is under squared error, N = {size}"
        ),
        "std_ratio": over_seeds(
            implied / meant,
            f"that σ as a share of the σ = 1/√(λN) = {meant:.3g} that λ = {decay:g} is under "
            "cross-entropy",
        ),
    }
    rows = [
        ["cross-entropy", f"{decay:g}", f"{size}", "–", f"{meant:.3g}"],
        ["squared error", f"{decay:g}", f"{size}", f"{noise.mean():.3g}", f"{implied.mean():.3g}"],
    ]
    table = TableOfNumbers(
        title="One weight decay, two priors",
        columns=["loss", "weight decay λ", "N", "noise τ", "σ of the prior"],
        rows=rows,
    )
    return Measurement(quantities=quantities, tables=[table])


def implied_std(decay: float, *, size: int, classes: int, noise: float) -> float:
    """Return the prior's width σ = τ√(2/(NKλ)) that a weight decay is under squared error.

    Minus the log of likelihood times prior is Σ_i ‖z_i − y_i‖²/(2τ²) + ‖W‖²/(2σ²) + const. Times
    2τ²/(NK) its first part is squared error averaged over N examples and K classes, its second
    τ²/(NKσ²) ‖W‖². Weight decay λ is the penalty (λ/2)‖W‖²; hence λ = 2τ²/(NKσ²).

    >>> implied_std(0.1, size=100, classes=5, noise=0.5)
    0.1
    """
    return noise * math.sqrt(2 / (size * classes * decay))


def residual(logits: FloatArray, labels: FloatArray) -> float:
    """Return the root mean square of z − y over examples and classes.

    Args:
        logits: ``(N, K)``.
        labels: ``(N,)`` class indices.

    >>> residual(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1]))
    0.7071067811865476
    """
    one_hot = np.eye(logits.shape[1])[labels.astype(int)]
    return float(np.sqrt(np.mean((logits - one_hot) ** 2)))


def _validation(point: Run) -> tuple[FloatArray, FloatArray]:
    logits, labels = predictions(point, "val")
    return logits.numpy(), labels.numpy()


def gaussian_noise(
    _: Runs, *, weight_decay: float, noise: float, steps: int, seeds: list[int]
) -> Measurement:
    """Check λ = 2τ²/(NKσ²) by training: float64, whole densities from ``torch.distributions``.

    One side is ``SquaredError`` with weight decay λ and learning rate η. The other is minus the
    log of likelihood times prior, noise τ and width σ, with learning rate η·2τ²/K, which undoes
    that squared error leaves out 1/(2τ²) and averages over K classes.

    Args:
        weight_decay: λ.
        noise: τ.
        steps: Updates.
        seeds: Of points, initial weights and batches.
    """
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
