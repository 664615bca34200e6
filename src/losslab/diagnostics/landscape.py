"""Slices of the loss surface: from the initial to the final weights, and around the final ones."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.func import functional_call

from losslab.diagnostics.view import View
from losslab.seeding import generator
from losslab.types import Curves, Finding, Scalars

BEYOND = 0.25
"""How far the line goes on at either end."""


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """Mean loss and accuracy of the probe on a line and on a plane through the final weights.

    - Curve ``line``, with columns ``position``, ``loss`` and ``accuracy``: the weights
      (1 − a) W₀ + a W at the positions a from −0.25 to 1.25, W₀ the initial weights, W the final
      ones.
    - Curve ``surface``, with columns ``x``, ``y``, ``loss`` and ``accuracy``, one row a point, y
      varying fastest: the weights W + x d + y e on a square grid over [−1, 1]². d and e are
      random directions, each filter of which (the weights of one output channel or unit) is
      scaled to the norm of W's filter. Biases and the parameters of normalisation layers stay.
      A step of 1 is as large as the weights themselves, whatever their scale, so networks can be
      compared.

    Of the line between W₀ and W, with L its loss:

    - ``line/barrier``: the largest L(a) − [(1 − a) L(0) + a L(1)], how far it lies above its
      chord; from 0 up, in units of the loss. 0 for a convex line.
    - ``line/rise``: the largest L(b) − L(a) with a < b, the height of the highest climb; 0 where L
      falls all the way.
    - ``line/relative_barrier`` and ``line/relative_rise``: these over the fall L(0) − L(1), to
      compare losses of different scales; absent where there is no fall.

    Reading: a plateau at the start of the line, or a barrier, is what keeps a loss from its way.

    Batch normalisation takes its statistics from the probe itself, as in training: the running
    ones fit the final weights only. The prior is not in the loss. Points where the loss is not
    finite are left out. The directions are the same for every loss and seed, up to W's norms.

    Cost: (3/2 ``intervals`` + 1 + ``grid``²) forward passes of the probe, 250 as it comes.

    Attributes:
        every: ``None``: once, at the end.
        intervals: Of the line between initial and final weights; a multiple of 4.
        grid: Points of the plane along each direction, an odd number, so that W is one.

    Raises:
        ValueError: A number out of its range.

    Source: the line: Goodfellow, Vinyals and Saxe 2015, *Qualitatively characterizing neural
    network optimization problems*; the plane: Li et al. 2018, *Visualizing the loss landscape of
    neural nets*, §4; the rise: Lucas et al. 2021, *On monotonic linear interpolation of neural
    network parameters*.
    """

    every: int | None = None
    intervals: int = 16
    grid: int = 15

    def __post_init__(self) -> None:
        if type(self.intervals) is not int or self.intervals < 4 or self.intervals % 4:
            raise ValueError(f"intervals={self.intervals}; give 4, 8, 12 or so on")
        if type(self.grid) is not int or self.grid < 3 or self.grid % 2 == 0:
            raise ValueError(f"grid={self.grid}; give 3, 5, 7 or so on")

    def smallest(self) -> "Landscape":
        """Return one that costs as little as can be, for a dry run."""
        return replace(self, intervals=4, grid=3)

    def measure(self, view: View) -> Finding:
        """Return losses in their own units and accuracies in [0, 1]."""
        extra = int(BEYOND * self.intervals)
        line = [step / self.intervals for step in range(-extra, self.intervals + extra + 1)]
        half = self.grid // 2
        axis = [step / half for step in range(-half, half + 1)]
        points = [(x, y) for x in axis for y in axis]
        final = {name: value.detach() for name, value in view.model.named_parameters()}
        directions = [filter_normalized(view.model, f"direction {n}") for n in (1, 2)]
        with torch.no_grad(), _statistics_of_the_batch(view.model):
            on_line = _look(view, (_between(view.initial, final, a) for a in line))
            on_plane = _look(view, (_moved(final, directions, xy) for xy in points))
        curves = {
            "line": {"position": line} | on_line,
            "surface": {"x": [x for x, _ in points], "y": [y for _, y in points]} | on_plane,
        }
        inner = slice(extra, extra + self.intervals + 1)
        return Finding(of_the_line(on_line["loss"][inner]), _finite(curves))


def filter_normalized(model: nn.Module, purpose: str) -> dict[str, Tensor]:
    """Return a random direction, each filter as long as the model's.

    d ← d/‖d‖ · ‖w‖ for the weights w of each output channel or unit; parameters of one dimension
    (biases, normalisation) and those that are not trained have none.

    Args:
        model: Whose weights are moved.
        purpose: Names the direction; the same for every run.

    >>> model = nn.Linear(3, 2)
    >>> direction = filter_normalized(model, "direction 1")
    >>> list(direction), torch.allclose(direction["weight"].norm(dim=1), model.weight.norm(dim=1))
    (['weight'], True)
    """
    draw = generator(0, "landscape", purpose)
    directions: dict[str, Tensor] = {}
    for name, weight in model.named_parameters():
        if weight.dim() > 1 and weight.requires_grad:
            # On the CPU, so that it is the same on every device.
            direction = torch.randn(weight.shape, generator=draw).to(weight)
            lengths = [v.detach().flatten(1).norm(dim=1) for v in (weight, direction)]
            factor = lengths[0] / lengths[1]
            directions[name] = direction * factor.view(-1, *[1] * (weight.dim() - 1))
    return directions


def of_the_line(losses: list[float]) -> Scalars:
    """Return barrier and rise of the losses from the initial to the final weights.

    Args:
        losses: At equally spaced positions from 0 to 1.

    >>> of_the_line([2.0, 3.0, 1.0])  # 1.5 above the chord's 1.5; climbs by 1, falls by 1
    {'line/barrier': 1.5, 'line/rise': 1.0, 'line/relative_barrier': 1.5, 'line/relative_rise': 1.0}
    >>> of_the_line([2.0, math.nan, 1.0])
    {}
    """
    if not all(math.isfinite(loss) for loss in losses):
        return {}
    first, last, steps = losses[0], losses[-1], len(losses) - 1
    barrier = max(
        loss - ((steps - step) * first + step * last) / steps for step, loss in enumerate(losses)
    )
    rise = max(loss - lowest for loss, lowest in zip(losses, accumulate(losses, min), strict=True))
    found = {"barrier": barrier, "rise": rise}
    if first > last:
        found |= {f"relative_{name}": value / (first - last) for name, value in found.items()}
    return {f"line/{name}": value for name, value in found.items()}


def _between(
    initial: Mapping[str, Tensor], final: Mapping[str, Tensor], position: float
) -> dict[str, Tensor]:
    return {name: torch.lerp(initial[name], value, position) for name, value in final.items()}


def _moved(
    final: Mapping[str, Tensor], directions: list[dict[str, Tensor]], steps: tuple[float, float]
) -> dict[str, Tensor]:
    (x, y), (d, e) = steps, directions
    return {name: final[name] + x * d[name] + y * e[name] for name in d}


def _look(view: View, places: Iterator[dict[str, Tensor]]) -> dict[str, list[float]]:
    """Return loss and accuracy of the probe with each of the weights; the model keeps its own."""
    buffers = {name: value.clone() for name, value in view.model.named_buffers()}
    seen = []
    for weights in places:
        logits = functional_call(view.model, weights | buffers, (view.probe.images,)).float()
        losses = view.objective.per_example(logits, view.labels)
        accuracy = (logits.argmax(1) == view.labels).to(losses.dtype).mean()
        seen.append(torch.stack([losses.mean(), accuracy]))
    loss, accuracies = torch.stack(seen, dim=1).tolist()
    return {"loss": loss, "accuracy": accuracies}


@contextmanager
def _statistics_of_the_batch(model: nn.Module) -> Iterator[None]:
    """Let batch normalisation use the statistics of the batch that it is given."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    layers = [layer for layer in model.modules() if isinstance(layer, kinds)]
    modes = [layer.training for layer in layers]
    try:
        for layer in layers:
            layer.train()
        yield
    finally:
        for layer, mode in zip(layers, modes, strict=True):
            layer.train(mode)


def _finite(curves: Curves) -> Curves:
    """Return the curves without the rows that hold a number that is not finite."""
    kept: Curves = {}
    for curve, columns in curves.items():
        rows = [row for row in zip(*columns.values(), strict=True) if all(map(math.isfinite, row))]
        if rows:
            kept[curve] = dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))
    return kept
