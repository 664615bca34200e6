"""Helpers for measures: read numbers from finished runs, and average over seeds."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from safetensors.numpy import load
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from losslab.data import Dataset
from losslab.experiment.build import build
from losslab.figures import Curve
from losslab.recording import Run, read_records
from losslab.report.measurement import Quantity
from losslab.report.selectors import SELECTORS, split
from losslab.report.statistics import FloatArray, binomial_interval, t_interval

Runs = dict[str, list[Run]]
"""Name of a set to its finished runs; the first argument of every measure."""

Labels = Mapping[str, str] | None
"""Name of a set to its label in tables and figures."""


def number(run: Run, metric: str) -> float:
    """Return a run's metric, ``<tag>`` or ``<tag>@<selector>``; NaN if it has none.

    Without a selector it is the final value, which diverged runs lack for most tags.
    """
    tag, selector = split(metric)
    if not selector:
        return float(json.loads(run.read(run.files.summary)).get(tag, math.nan))
    _, values = record(run, tag)
    return SELECTORS[selector].select(values) if values else math.nan


def diverged(runs: Sequence[Run]) -> list[bool]:
    """Return whether each run diverged: its objective was infinite or NaN."""
    return [run.status == "diverged" for run in runs]


def record(run: Run, tag: str, *, over: str = "step") -> tuple[list[float], list[float]]:
    """Return the steps, or epochs, at which a run recorded a tag, and the values."""
    records = [r for r in read_records(run.files.metrics) if tag in r and over in r]
    return [float(r[over]) for r in records], [float(r[tag]) for r in records]


def predictions(run: Run, part: str = "test") -> tuple[Tensor, Tensor]:
    """Return a run's final logits ``(N, K)`` float64 and the labels ``(N,)`` of a part."""
    stored = load_tensors(run.read(run.files.predictions))
    return stored[f"{part}/logits"].double(), stored[f"{part}/labels"]


def final_weights(run: Run) -> FloatArray:
    """Return all final weights and biases ``(P,)`` float64, in the order of their names."""
    tensors = load(run.read(run.files.model))
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)]).astype(np.float64)


def untrained(run: Run) -> tuple[Dataset, nn.Module]:
    """Return a run's data and its model with the initial weights of its seed, on the CPU."""
    parts = build(run.composed)
    return parts.dataset, parts.model.cpu()


def value_of(run: Run, key: str) -> Any:
    """Return the value of a dotted key in a run's configuration."""
    return OmegaConf.select(run.composed, key, throw_on_missing=True)


def of_config(runs: Sequence[Run], key: str) -> float:
    """Return the number that all runs have at a dotted key; ``ValueError`` if they differ."""
    values = {float(value_of(run, key)) for run in runs}
    if len(values) != 1:
        raise ValueError(f"the runs have {key}={sorted(values)}; give all the same value")
    return values.pop()


def pairs(one: Sequence[Run], other: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Pair two sets of runs by seed; ``ValueError`` unless both have the same seeds, once each."""
    left, right = ({run.seed: run for run in runs} for runs in (one, other))
    if left.keys() != right.keys() or not len(one) == len(left) == len(other):
        seeds = f"runs of the seeds {[r.seed for r in one]} and {[r.seed for r in other]}"
        raise ValueError(f"{seeds} make no pairs; give both sets the same seeds and no grid")
    return [(left[seed], right[seed]) for seed in sorted(left)]


def over_seeds(values: Sequence[float] | FloatArray, what: str) -> Quantity:
    """Return the mean over seeds with its 95% t interval.

    The interval of a single seed is (−∞, ∞). If a value is infinite, such as the time to an event
    that never happened, the interval is the range of the values.

    >>> over_seeds([1.0, 2.0, 3.0], "example").value
    2.0
    """
    array = np.asarray(values, dtype=np.float64)
    if np.isinf(array).any():
        low, high = float(array.min()), float(array.max())
    else:
        low, high = t_interval(array) or (-math.inf, math.inf)
    return Quantity(value=float(array.mean()), low=low, high=high, n=len(array), what=what)


def share(count: int, n: int, what: str) -> Quantity:
    """Return ``count / n`` with its exact 95% interval; for n = 0, zero with the whole range.

    >>> share(0, 30, "example").high
    0.1157...
    """
    low, high = binomial_interval(count, n) if n else (0.0, 1.0)
    return Quantity(value=count / max(n, 1), low=low, high=high, n=n, what=what, count=count)


def curve_over_seeds(
    label: str,
    x: Sequence[float],
    values: FloatArray,
    *,
    logarithmic: bool = False,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    loss: str | None = None,
) -> Curve:
    """Return means over seeds of ``(S, V)`` values with 95% t intervals; one seed has none.

    If ``logarithmic``, logarithms are averaged, for a log axis. Intervals are clipped to
    ``bounds``, such as (0, 1) for a share.
    """
    # A log axis cannot show zero; NaN draws nothing.
    rows = np.log(np.where(values > 0, values, np.nan)) if logarithmic else values
    to_axis = np.exp if logarithmic else np.asarray
    intervals = np.array([t_interval(column) or (math.nan, math.nan) for column in rows.T])
    low, high = np.clip(to_axis(intervals).T, *bounds).tolist()
    band = {"low": low, "high": high} if len(values) > 1 else {}
    return Curve(label=label, x=list(x), y=to_axis(rows.mean(axis=0)).tolist(), loss=loss, **band)
