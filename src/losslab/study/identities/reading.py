"""What the measures read from finished runs, and means over their seeds."""

import json
from collections.abc import Sequence

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from losslab.data import Dataset
from losslab.experiment.build import build
from losslab.recording import read_records
from losslab.report.evidence import Quantity
from losslab.report.statistics import t_interval
from losslab.study.points import Point


def predictions(point: Point, part: str = "test") -> tuple[Tensor, Tensor]:
    """Return a run's final logits ``(N, K)`` float64 and the labels ``(N,)`` of a part."""
    stored = load_file(point.identity.directory.predictions)
    return stored[f"{part}/logits"].double(), stored[f"{part}/labels"]


def weights(point: Point) -> Tensor:
    """Return all final weights ``(P,)`` float64, in the order of their names."""
    stored = load_file(point.identity.directory.model)
    return torch.cat([stored[name].double().flatten() for name in sorted(stored)])


def record(point: Point, tag: str) -> tuple[list[float], list[float]]:
    """Return the steps at which a run recorded a number, and the numbers."""
    found = [r for r in read_records(point.identity.directory.metrics) if tag in r]
    return [float(r["step"]) for r in found], [float(r[tag]) for r in found]


def final(point: Point, tag: str) -> float:
    """Return a number of a run's summary."""
    return float(json.loads(point.identity.directory.summary.read_text(encoding="utf-8"))[tag])


def untrained(point: Point) -> tuple[Dataset, nn.Module]:
    """Return a run's data and its model with the initial weights of its seed, on the CPU."""
    parts = build(point.config)
    return parts.dataset, parts.model.cpu()


def pairs(left: Sequence[Point], right: Sequence[Point]) -> list[tuple[Point, Point]]:
    """Return the runs of two sets side by side, seed by seed.

    Raises:
        ValueError: The sets have other seeds.
    """
    seeds = [[point.seed for point in side] for side in (left, right)]
    if seeds[0] != seeds[1]:
        raise ValueError(f"seeds {seeds[0]} and {seeds[1]} are no pairs; give both sets the same")
    return list(zip(left, right, strict=True))


def over_seeds(values: Sequence[float], what: str) -> Quantity:
    """Return a mean with Student's t interval of 95%.

    Raises:
        ValueError: Fewer than two values, which have no interval.

    >>> over_seeds([0.90, 0.92, 0.94], "accuracy").low
    0.870...
    """
    interval = t_interval(np.array(values))
    if interval is None:
        raise ValueError(f"{what}: {len(values)} runs have no interval; give two seeds or more")
    return Quantity(
        value=float(np.mean(values)), low=interval.low, high=interval.high, n=len(values), what=what
    )
