"""S14: which way round the divergence is decides what a simple model makes of two modes."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from losslab.figures import Curve, Drawing, Panel
from losslab.losses import information
from losslab.report.evidence import Measurement, Quantity
from losslab.study.identities.optimum import descend
from losslab.study.measure import Runs


def two_modes(
    runs: Runs,  # noqa: ARG001
    *,
    distance: float,
    std: float,
    between: float,
) -> Measurement:
    """Fit one normal distribution to a mixture of two, by KL(p‖q) and by KL(q‖p).

    p is the target, q the fit, both on a grid; cross-entropy minimises KL(p‖q), forward.

    Args:
        runs: None are needed.
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
    target = (_normal(grid, -distance, std) + _normal(grid, distance, std)) / 2

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
    fits = {
        name: min((descend(of, x) for x in starts), key=lambda way: way.values[-1]).point
        for name, of in divergences.items()
    }
    densities = {name: fitted(point) for name, point in fits.items()}
    middle = grid.abs() < between
    quantities: dict[str, Quantity] = {}
    for name, point in fits.items():
        what = f"fitted by {_LABELS[name]}"
        quantities |= {
            f"{name}_std": Quantity(
                value=math.exp(point[1].item()), n=1, what=f"standard deviation {what}"
            ),
            f"{name}_between": Quantity(
                value=densities[name][middle].sum().item(),
                n=1,
                what=f"probability within {between:g} of the middle, {what}; the target has "
                f"{target[middle].sum():.3f}",
            ),
        }
    width = (grid[1] - grid[0]).item()
    drawn = grid.abs() <= end / 2
    return Measurement(
        quantities=quantities,
        drawings=[
            Drawing(
                name="direction",
                caption="One normal distribution q fitted to a target p with two modes. KL(p‖q), "
                "which cross-entropy minimises, covers both and puts probability between them; "
                "KL(q‖p) settles on one.",
                panels=[
                    Panel(
                        title="Forward and reverse divergence",
                        x_label="outcome",
                        y_label="density",
                        curves=[
                            Curve(
                                label=label,
                                x=grid[drawn].tolist(),
                                y=(values[drawn] / width).tolist(),
                            )
                            for label, values in (
                                ("target p", target),
                                (f"q by {_LABELS['forward']}", densities["forward"]),
                                (f"q by {_LABELS['reverse']}", densities["reverse"]),
                            )
                        ],
                    )
                ],
            )
        ],
    )


_LABELS = {"forward": "KL(p‖q), forward", "reverse": "KL(q‖p), reverse"}


def _normal(grid: Tensor, mean: float, std: float) -> Tensor:
    return (-((grid - mean) ** 2) / (2 * std**2)).softmax(0)
