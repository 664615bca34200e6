"""Further reading (S14 in science.md): hinge beside softmax, and the direction of KL."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from identities import exact, figure
from identities.optimum import descend
from losslab.figures import Curve, Panel
from losslab.losses import information
from losslab.recording import Run
from losslab.report.measurement import Measurement
from losslab.study.measure import Runs, curve_over_seeds, number, over_seeds, pairs, value_of

_LOSSES = {"softmax": "cross_entropy", "hinge": "multiclass_hinge"}
_LABELS = {"softmax": "cross-entropy", "hinge": "multi-class hinge"}
_DIRECTIONS = {"forward": "KL(p‖q), forward", "reverse": "KL(q‖p), reverse"}


def beside_softmax(runs: Runs) -> Measurement:
    """Compare both losses at the learning rate that is best for each on validation.

    Needs the sets ``linear_softmax`` and ``linear_hinge``, whose ``optimizer.lr`` and seeds vary.

    Returns:
        ``difference``: test accuracy under the hinge minus that under cross-entropy, paired over
        seeds; ``hinge`` and ``softmax``: test accuracies.
    """
    quantities, chosen, curves = {}, {}, []
    for name, label in _LABELS.items():
        rates: dict[float, list[Run]] = {}
        for run in sorted(runs[f"linear_{name}"], key=_rate):
            rates.setdefault(_rate(run), []).append(run)
        best = max(
            rates, key=lambda rate: np.mean([number(p, "val/accuracy") for p in rates[rate]])
        )
        accuracy = np.array([[number(p, "test/accuracy") for p in ps] for ps in rates.values()]).T
        chosen[name] = rates[best]
        quantities[name] = over_seeds(
            [number(point, "test/accuracy") for point in rates[best]],
            f"test accuracy of the linear model, {label}, rate {best:g}",
        )
        curves.append(curve_over_seeds(label, list(rates), accuracy, loss=_LOSSES[name]))
    differences = [
        number(hinge, "test/accuracy") - number(softmax, "test/accuracy")
        for hinge, softmax in pairs(chosen["hinge"], chosen["softmax"])
    ]
    quantities["difference"] = over_seeds(
        differences, "test accuracy under the hinge minus that under cross-entropy, paired"
    )
    return Measurement(
        quantities=quantities,
        drawings=figure(
            "hinge",
            "Softmax and the multi-class hinge on one linear model: mean over seeds with 95% "
            "intervals. The rate of each was chosen on validation.",
            Panel(
                title="Two losses, one linear model",
                x_label="learning rate",
                x_log=True,
                y_label="test accuracy, share correct",
                curves=curves,
            ),
        ),
    )


def two_modes(_: Runs, *, distance: float, std: float, between: float) -> Measurement:
    """Fit one normal distribution to a mixture of two, by KL(p‖q) and by KL(q‖p).

    p is the target, q the fit, both on a grid; cross-entropy minimises KL(p‖q), forward.

    Args:
        distance: Of each mode from 0.
        std: Of each mode.
        between: "Between the modes" is within this distance from 0.

    Returns:
        ``forward_std``, ``reverse_std``: of the fits; ``forward_between``, ``reverse_between``:
        the probability that they have between the modes.
    """
    # Wide enough for the tails of a fit to both modes.
    end = 6 * (distance + std)
    grid = torch.linspace(-end, end, 1201, dtype=torch.float64)
    modes = [(-((grid - mean) ** 2) / (2 * std**2)).softmax(0) for mean in (-distance, distance)]
    target = (modes[0] + modes[1]) / 2

    def fitted(parameters: Tensor) -> Tensor:
        # The tails of a narrow fit would round to 0, where the forward divergence is ∞.
        mean, log_std = parameters
        density: Tensor = (-((grid - mean) ** 2) / (2 * torch.exp(2 * log_std))).softmax(0)
        return density.clamp_min(1e-300)

    # The reverse divergence has several valleys: the lowest end of several descents is the fit.
    starts = [
        torch.tensor([mean, math.log(spread)], dtype=torch.float64)
        for mean in (-distance, 0.0, distance)
        for spread in (std, distance)
    ]
    divergences: dict[str, Callable[[Tensor], Tensor]] = {
        "forward": lambda x: information.kl_divergence(target, fitted(x)),
        "reverse": lambda x: information.kl_divergence(fitted(x), target),
    }
    middle, drawn = grid.abs() < between, grid.abs() <= end / 2
    densities, quantities = {"target p": target}, {}
    for name, divergence in divergences.items():
        ways = [descend(divergence, start) for start in starts]
        fit = min(ways, key=lambda way: way.values[-1]).point
        density, what = fitted(fit), f"fitted by {_DIRECTIONS[name]}"
        quantities[f"{name}_std"] = exact(math.exp(fit[1].item()), 1, f"standard deviation {what}")
        quantities[f"{name}_between"] = exact(
            density[middle].sum().item(),
            1,
            f"probability within {between:g} of the middle, {what}; the target has "
            f"{target[middle].sum():.3f}",
        )
        densities[f"q by {_DIRECTIONS[name]}"] = density
    width = (grid[1] - grid[0]).item()
    return Measurement(
        quantities=quantities,
        drawings=figure(
            "direction",
            "One normal distribution q fitted to a target p with two modes. KL(p‖q), which "
            "cross-entropy minimises, covers both and puts probability between them; KL(q‖p) "
            "settles on one.",
            Panel(
                title="Forward and reverse divergence",
                x_label="outcome",
                y_label="density",
                curves=[
                    Curve(label=label, x=grid[drawn].tolist(), y=(values[drawn] / width).tolist())
                    for label, values in densities.items()
                ],
            ),
        ),
    )


def _rate(run: Run) -> float:
    return float(value_of(run, "optimizer.lr"))
