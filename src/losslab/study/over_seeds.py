"""Means over the seeds of runs, with their intervals."""

import math
from collections.abc import Sequence

import numpy as np

from losslab.figures import Curve
from losslab.recording import Run
from losslab.report.measurement import Quantity
from losslab.report.statistics import FloatArray, t_interval


def pairs(one: Sequence[Run], other: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Pair two sets of runs by seed.

    Raises:
        ValueError: A set has several runs of a seed, or they have different seeds.
    """
    by_seed = [{point.seed: point for point in points} for points in (one, other)]
    if (
        len(by_seed[0]) != len(one)
        or len(by_seed[1]) != len(other)
        or set(by_seed[0]) != set(by_seed[1])
    ):
        raise ValueError(
            f"runs of the seeds {[p.seed for p in one]} and {[p.seed for p in other]} make no "
            "pairs; give both sets the same seeds and no grid"
        )
    return [(by_seed[0][seed], by_seed[1][seed]) for seed in sorted(by_seed[0])]


def over_seeds(values: Sequence[float] | FloatArray, what: str) -> Quantity:
    """Return the mean of one number a seed with its 95% t interval.

    A single seed says nothing about others: its interval is the whole line. If a number is infinite
    (a count that never ended, say), the interval is the range of the numbers.

    >>> over_seeds([1.0, 2.0, 3.0], "example").value
    2.0
    """
    array = np.asarray(values, dtype=np.float64)
    if np.isinf(array).any():
        low, high = float(array.min()), float(array.max())
    else:
        low, high = t_interval(array) or (-math.inf, math.inf)
    return Quantity(value=float(array.mean()), low=low, high=high, n=len(array), what=what)


def curve_over_seeds(
    label: str,
    x: Sequence[float],
    values: FloatArray,
    *,
    logarithmic: bool = False,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    loss: str | None = None,
) -> Curve:
    """Return means over seeds with 95% t intervals; one seed has no interval.

    Args:
        label: Of the curve.
        x: ``(V,)`` positions.
        values: ``(S, V)`` one row a seed.
        logarithmic: Whether to average logarithms, for a log axis.
        bounds: The number's range, such as (0, 1) for a share; intervals are clipped there.
        loss: As :class:`~losslab.figures.Curve`.
    """
    # A 0 has no place on a log axis, NaN draws nothing.
    rows = np.log(np.where(values > 0, values, np.nan)) if logarithmic else values
    back = np.exp if logarithmic else np.asarray
    ends = np.array([t_interval(column) or (math.nan, math.nan) for column in rows.T])
    low, high = np.clip(back(ends).T, *bounds).tolist()
    several = len(values) > 1
    return Curve(
        label=label,
        x=list(x),
        y=back(rows.mean(axis=0)).tolist(),
        low=low if several else None,
        high=high if several else None,
        loss=loss,
    )
