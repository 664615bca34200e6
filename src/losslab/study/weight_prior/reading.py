"""What the measures read from finished runs, and how they sum it up over seeds."""

import json
import math
from collections.abc import Sequence

import numpy as np
from safetensors.numpy import load_file

from losslab.report.evidence import Curve, Quantity
from losslab.report.metrics import FloatArray
from losslab.report.statistics import t_interval
from losslab.study.points import Point


def final(point: Point, tag: str) -> float:
    """Return a run's final number, NaN where it has none (a diverged run's NLL, for one)."""
    return float(json.loads(point.identity.directory.summary.read_text()).get(tag, math.nan))


def gap(point: Point, metric: str) -> float:
    """Return the final test minus training number, the latter over the last epoch's batches."""
    return final(point, f"test/{metric}") - final(point, f"train/{metric}")


def recorded(point: Point, tag: str) -> dict[int, float]:
    """Return step to number, of all records that have the tag."""
    records = map(json.loads, point.identity.directory.metrics.read_text().splitlines())
    return {record["step"]: record[tag] for record in records if tag in record}


def final_weights(point: Point) -> FloatArray:
    """Return all final weights and biases, ``(P,)`` float64."""
    tensors = load_file(point.identity.directory.model)
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)]).astype(np.float64)


def relative_difference(one: FloatArray, other: FloatArray) -> float:
    """Return ‖a − b‖/‖b‖ of two ``(P,)``; no entry differs by more than that times ‖b‖.

    >>> relative_difference(np.array([3.0, 4.0]), np.array([3.0, 4.5])) < 0.1
    True
    """
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def pairs(one: Sequence[Point], other: Sequence[Point]) -> list[tuple[Point, Point]]:
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

    One seed tells nothing of the others: its interval is the whole line.

    >>> over_seeds([1.0, 2.0, 3.0], "example").value
    2.0
    """
    array = np.asarray(values, dtype=np.float64)
    low, high = t_interval(array) or (-math.inf, math.inf)
    return Quantity(value=float(array.mean()), low=low, high=high, n=len(array), what=what)


def curve_over_seeds(
    label: str,
    x: Sequence[float],
    values: FloatArray,
    *,
    logarithmic: bool = False,
    loss: str | None = None,
) -> Curve:
    """Return means over seeds with 95% t intervals; one seed has no interval.

    Args:
        label: Of the curve.
        x: ``(V,)`` positions.
        values: ``(S, V)`` one row a seed.
        logarithmic: Whether mean and interval are those of the logarithm, for a log axis.
        loss: As :class:`~losslab.report.evidence.Curve`.
    """
    # A 0 has no place on a log axis, NaN draws nothing.
    rows = np.log(np.where(values > 0, values, np.nan)) if logarithmic else values
    back = np.exp if logarithmic else np.asarray
    ends = np.array([t_interval(column) or (math.nan, math.nan) for column in rows.T])
    low, high = back(ends).T.tolist()
    several = len(values) > 1
    return Curve(
        label=label,
        x=list(x),
        y=back(rows.mean(axis=0)).tolist(),
        low=low if several else None,
        high=high if several else None,
        loss=loss,
    )


def of_config(points: Sequence[Point], key: str) -> float:
    """Return the number that all runs have at a key of their configuration.

    Raises:
        ValueError: They differ.
    """
    section, _, rest = key.partition(".")
    values = set()
    for point in points:
        node = point.config[section]
        for part in rest.split("."):
            node = node[part]
        values.add(float(node))
    if len(values) != 1:
        raise ValueError(f"the runs have {key}={sorted(values)}; give them all one value")
    return values.pop()
