"""Slices of the loss surface: from initial to final weights, around them, along the path."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate, product

import torch
from torch import Tensor, nn
from torch.func import functional_call

from losslab.diagnostics.view import Diagnostic, View
from losslab.seeding import generator
from losslab.types import Curves, Finding, Scalars

BEYOND = 0.25  # how far the line extends at either end
ROUNDING = 1e-6  # of a float32 loss, relative to it

Weights = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Landscape(Diagnostic):
    """Mean loss and accuracy of the probe on a line and on a plane through the final weights.

    - Curve ``line`` (``position``, ``loss``, ``accuracy``): the weights (1 − a) W₀ + a W at the
      positions a from −0.25 to 1.25, W₀ the initial weights, W the final ones.
    - Curve ``surface`` (``x``, ``y``, ``loss``, ``accuracy``; y varies fastest): the weights
      W + x d + y e on a square grid over [−1, 1]², d and e random directions of
      :func:`filter_normalized`. A step of 1 is as large as the weights themselves, so networks of
      any scale can be compared.
    - Curves ``path`` (``epoch``, ``x``, ``y``) and ``path_surface`` (as ``surface``): the weights
      after each epoch, projected onto the plane W + x d + y e along their two principal directions
      (:func:`principal_plane`), and a square grid over it. d and e are of length 1. Curve
      ``path_variance`` (``direction``, ``share``) and the number ``path/variance``, in (0, 1]: the
      share of the path's variance along each of the two, and in the plane. Far below 1, the path
      leaves the plane, and its points do not have the losses shown.

    Of the line between W₀ and W, with L its loss:

    - ``line/barrier``: the largest L(a) − [(1 − a) L(0) + a L(1)], how far it lies above its
      chord; ≥ 0, in units of the loss. 0 for a convex line.
    - ``line/rise``: the largest L(b) − L(a) with a < b, the height of the highest climb; 0 where L
      falls all the way.
    - ``line/relative_barrier`` and ``line/relative_rise``: these over the fall L(0) − L(1), to
      compare losses of different scales; absent where there is no fall beyond float32 rounding.

    Reading: a plateau at the start of the line, or a barrier, slows training down.

    Batch normalisation takes its statistics from the probe itself, as in training: the running
    ones fit the final weights only. Other buffers are the final ones. The prior is not in the loss.
    Points where the loss is not finite are left out.

    There is no path where its points are on one line, as after a single epoch, nor in a run that
    resumed from a checkpoint without it. Of more than 32 epochs every second, fourth or so is kept.

    Cost: 3/2 ``intervals`` + 1 + 2 ``grid``² forward passes of the probe, 475 by default; memory
    and checkpoint hold up to 34 copies of the weights, memory four times as many at the end.

    Attributes:
        intervals: Of the line between initial and final weights; a multiple of 4.
        grid: Points of the plane along each direction, an odd number, so that W is one.

    Raises:
        ValueError: A number out of its range.

    Source: the line: Goodfellow, Vinyals and Saxe 2015, *Qualitatively characterizing neural
    network optimization problems*; the plane: Li et al. 2018, *Visualizing the loss landscape of
    neural nets*, §4, and the path: §7; the rise: Lucas et al. 2021, *On monotonic linear
    interpolation of neural network parameters*.
    """

    every: int | None = None
    follows_path = True
    sometimes = (
        *("line/barrier", "line/rise", "line/relative_barrier", "line/relative_rise"),
        "path/variance",
    )
    intervals: int = 16
    grid: int = 15

    def __post_init__(self) -> None:
        if type(self.intervals) is not int or self.intervals < 4 or self.intervals % 4:
            raise ValueError(f"intervals={self.intervals}; give a multiple of 4 ≥ 4")
        if type(self.grid) is not int or self.grid < 3 or self.grid % 2 == 0:
            raise ValueError(f"grid={self.grid}; give an odd number ≥ 3")

    def smallest(self) -> "Landscape":
        """Return the cheapest one, for a dry run."""
        return replace(self, intervals=4, grid=3)

    def measure(self, view: View) -> Finding:
        """Return losses in their own units and accuracies in [0, 1]."""
        extra, half = int(BEYOND * self.intervals), self.grid // 2
        line = [step / self.intervals for step in range(-extra, self.intervals + extra + 1)]
        axis = [step / half for step in range(-half, half + 1)]
        final = {name: value.detach() for name, value in view.model.named_parameters()}
        d, e = (filter_normalized(view.model, f"direction {n}") for n in (1, 2))
        with torch.no_grad(), _batch_statistics(view.model):
            on_line = _evaluate(
                view,
                ({n: torch.lerp(view.initial[n], w, a) for n, w in final.items()} for a in line),
            )
            surface = _on_plane(view, d, e, axis, axis)
            path = self._path(view)
        curves = {"line": {"position": line} | on_line, "surface": surface} | path.curves
        between = slice(extra, extra + self.intervals + 1)
        scalars = barrier_and_rise(on_line["loss"][between]) | path.scalars
        return Finding(scalars, _finite(curves))

    def _path(self, view: View) -> Finding:
        """Return the path of training, and the loss on its plane."""
        snapshots = view.path or {}
        plane = principal_plane(torch.stack([*snapshots.values()])) if snapshots else None
        if plane is None:
            return Finding({}, {})
        rows, positions, shares = plane
        weights = dict(view.model.named_parameters())
        parts = torch.split(rows, [w.numel() for w in weights.values()], dim=1)
        d, e = (
            {
                n: part[i].view_as(w).to(w)
                for (n, w), part in zip(weights.items(), parts, strict=True)
            }
            for i in (0, 1)
        )
        low, high = positions.min(dim=0).values, positions.max(dim=0).values
        half_width = (0.5 + BEYOND) * (high - low).max()
        steps = torch.linspace(-1, 1, self.grid, dtype=half_width.dtype) * half_width
        x, y = (((low + high) / 2).unsqueeze(1) + steps).tolist()
        path_x, path_y = positions.T.tolist()
        curves = {
            "path": {"epoch": [*map(float, snapshots)], "x": path_x, "y": path_y},
            "path_variance": {"direction": [1.0, 2.0], "share": shares.tolist()},
            "path_surface": _on_plane(view, d, e, x, y),
        }
        return Finding({"path/variance": shares.sum().item()}, curves)


def principal_plane(points: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return the plane through the last of points ``(S, D)`` along their principal directions.

    Of the points less their mean, U diag(s) Vᵀ: the first two rows of Vᵀ ``(2, D)``, coordinates
    of the points less the last one ``(S, 2)``, and shares sᵢ²/Σ s² of the variance ``(2,)``. Along
    each direction the point farthest from the last one has a negative coordinate. ``None`` for
    points on one line.

    >>> rows, positions, _ = principal_plane(torch.tensor([[3.0, 4.0], [0.0, 1.0], [0.0, 0.0]]))
    >>> (positions @ rows).abs().round(decimals=6).tolist(), bool(positions[0, 0] < 0)
    ([[3.0, 4.0], [0.0, 1.0], [0.0, 0.0]], True)
    >>> principal_plane(torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]])) is None
    True
    """
    points = points.to(torch.float64, copy=True)
    if not points.isfinite().all():
        return None
    points -= points.mean(dim=0)
    squares, u = torch.linalg.eigh(points @ points.T)  # (S, S); an SVD takes many times as long
    if len(points) < 2 or squares[-2] <= 1e-12 * squares[-1]:
        return None
    squares, u = squares.flip(0), u.flip(1)
    rows = (u[:, :2] / squares[:2].sqrt()).T @ points
    positions = points @ rows.T
    positions -= positions[-1].clone()
    signs = -positions.gather(0, positions.abs().argmax(dim=0, keepdim=True)).sign()
    return rows * signs.T, positions * signs, squares[:2] / squares.sum()


def filter_normalized(model: nn.Module, purpose: str) -> Weights:
    """Return a random direction, each filter as long as the model's: d ← d/‖d‖ · ‖w‖.

    A filter is the weights w of one output channel or unit; parameters of one dimension (biases,
    normalisation) and those that are not trained have none. ``purpose`` names the direction, which
    is the same for every run up to ‖w‖.

    >>> model = nn.Linear(3, 2)
    >>> direction = filter_normalized(model, "direction 1")
    >>> list(direction), torch.allclose(direction["weight"].norm(dim=1), model.weight.norm(dim=1))
    (['weight'], True)
    """
    draw = generator(0, "landscape", purpose)
    directions: Weights = {}
    for name, weight in model.named_parameters():
        if weight.dim() > 1 and weight.requires_grad:
            # On the CPU, so that it is the same on every device.
            direction = torch.randn(weight.shape, generator=draw).to(weight)
            lengths = [v.detach().flatten(1).norm(dim=1) for v in (weight, direction)]
            factor = lengths[0] / lengths[1]
            directions[name] = direction * factor.view(-1, *[1] * (weight.dim() - 1))
    return directions


def barrier_and_rise(losses: list[float]) -> Scalars:
    """Return barrier and rise of the losses at equally spaced positions from 0 to 1.

    >>> barrier_and_rise([2.0, 3.0, 1.0])  # 1.5 above the chord's 1.5; climbs by 1, falls by 1
    {'line/barrier': 1.5, 'line/rise': 1.0, 'line/relative_barrier': 1.5, 'line/relative_rise': 1.0}
    >>> barrier_and_rise([2.0, math.nan, 1.0])
    {}
    """
    if not all(math.isfinite(loss) for loss in losses):
        return {}
    first, last, steps = losses[0], losses[-1], len(losses) - 1
    barrier = max(
        loss - ((steps - step) * first + step * last) / steps for step, loss in enumerate(losses)
    )
    rise = max(loss - lowest for loss, lowest in zip(losses, accumulate(losses, min), strict=True))
    scalars = {"barrier": barrier, "rise": rise}
    if first - last > ROUNDING * max(abs(first), abs(last)):
        scalars |= {f"relative_{name}": value / (first - last) for name, value in scalars.items()}
    return {f"line/{name}": value for name, value in scalars.items()}


def _on_plane(view: View, d: Weights, e: Weights, *axes: list[float]) -> dict[str, list[float]]:
    """Return positions, loss and accuracy on a grid of the plane through the final weights."""
    final, positions = dict(view.model.named_parameters()), list(product(*axes))
    x, y = map(list, zip(*positions, strict=True))
    weights = ({n: final[n] + i * d[n] + j * e[n] for n in d} for i, j in positions)
    return {"x": x, "y": y} | _evaluate(view, weights)


def _evaluate(view: View, points: Iterable[Weights]) -> dict[str, list[float]]:
    """Return loss and accuracy of the probe at each point in weight space."""
    buffers = {name: value.clone() for name, value in view.model.named_buffers()}
    values = []
    for weights in points:
        logits = functional_call(view.model, weights | buffers, (view.probe.images,)).float()
        losses = view.objective.per_example(logits, view.probe.labels)
        accuracy = (logits.argmax(1) == view.probe.labels).to(losses.dtype).mean()
        values.append(torch.stack([losses.mean(), accuracy]))
    loss, accuracies = torch.stack(values, dim=1).tolist()
    return {"loss": loss, "accuracy": accuracies}


@contextmanager
def _batch_statistics(model: nn.Module) -> Iterator[None]:
    """Let batch normalisation use the statistics of the batch, in an evaluated model."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    layers = nn.ModuleList(layer for layer in model.modules() if isinstance(layer, kinds))
    layers.train()
    try:
        yield
    finally:
        layers.eval()


def _finite(curves: Curves) -> Curves:
    """Return the curves without the rows that hold a number that is not finite."""
    finite: Curves = {}
    for curve, columns in curves.items():
        rows = [row for row in zip(*columns.values(), strict=True) if all(map(math.isfinite, row))]
        if rows:
            finite[curve] = dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))
    return finite
