"""Runs of one prior by its width, and how many of their weights are negligible."""

import math
from collections.abc import Callable

import numpy as np

from losslab.report.statistics import FloatArray
from losslab.study.points import Point
from losslab.study.reading import final

SMALL = 1e-3

Family = dict[float, list[Point]]
"""Standard deviation of the prior to its runs, by seed, both ascending."""


def small_share(weights: FloatArray) -> float:
    """Return the share of weights ``(P,)`` whose size is below 1e-3 of the largest one's.

    >>> small_share(np.array([1.0, -0.5, 1e-4, 0.0]))
    0.5
    """
    sizes = np.abs(weights)
    return float(np.mean(sizes < SMALL * sizes.max()))


LABELS = {"map_gaussian": "Gaussian", "map_laplace": "Laplace"}


def parameter(name: str, std: float) -> str:
    """Return a prior's own parameter, σ or b, for its standard deviation."""
    return f"σ = {std:.3g}" if name == "map_gaussian" else f"b = {std / math.sqrt(2):.3g}"


def family_of(points: list[Point], std: Callable[[Point], float]) -> Family:
    """Group runs by the standard deviation that ``std`` reads off them."""
    family: Family = {}
    for point in sorted(points, key=lambda p: (std(p), p.seed)):
        family.setdefault(std(point), []).append(point)
    return family


def narrowest(family: Family, tolerance: float) -> float:
    """Return the least width whose mean validation accuracy is within ``tolerance`` of the best."""
    means = {
        std: float(np.mean([final(p, "val/accuracy") for p in points]))
        for std, points in family.items()
    }
    return min(std for std, mean in means.items() if mean >= max(means.values()) - tolerance)
