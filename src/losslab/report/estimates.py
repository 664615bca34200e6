"""Estimates with intervals: of the tuning grid, of a side's metric, of the difference of sides."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
import pandas as pd

from losslab import metrics
from losslab.metrics import RANGES
from losslab.recording import Run, read_predictions
from losslab.report.plan import Plan
from losslab.report.selectors import number
from losslab.report.statistics import (
    FloatArray,
    IntArray,
    Interval,
    sign_flip_p,
    t_interval,
    two_way_interval,
)

Covers = Literal["seeds and test examples", "seeds"]


@dataclass(frozen=True)
class Sample:
    """One metric of the runs of one side."""

    metric: str  # its tag
    seeds: tuple[int, ...]  # ``(S,)`` of the runs that have the metric, ascending
    values: FloatArray  # ``(S,)`` the metric
    # ``(S, N)`` whose means over the examples are the values; ``None`` unless every run has its
    # predictions and all were tested on the same examples
    examples: FloatArray | None
    labels: IntArray | None  # ``(N,)`` of those examples
    missing: tuple[str, ...]  # names of planned runs that are not finished
    without: tuple[str, ...]  # names of finished runs whose metric is not finite or not recorded

    def on(self, seeds: Sequence[int]) -> "Sample":
        """Return the part of some of its seeds."""
        rows = [self.seeds.index(seed) for seed in seeds]
        each = None if self.examples is None else self.examples[rows]
        return replace(self, seeds=tuple(seeds), values=self.values[rows], examples=each)


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds."""

    n: int  # seeds
    mean: float  # of the metric
    interval: Interval | None  # 95%; ``None`` for fewer than two seeds
    covers: Covers  # which noise the interval holds
    seeds: tuple[int, ...] = ()  # ascending
    values: tuple[float, ...] = ()  # each seed's


@dataclass(frozen=True)
class Comparison:
    """Two sides on the seeds that both have, or how far they differ beyond two others."""

    n: int  # pairs
    left: Estimate  # on these seeds
    right: Estimate
    difference: float  # ``left - right``; less the difference of two others where those were given
    interval: Interval | None  # its 95% interval; ``None`` for fewer than two pairs
    covers: Covers  # which noise the interval holds
    p: float  # two-sided, by flipping the pairs' signs, not corrected
    values: tuple[float, ...] = ()  # each pair's difference, in the order of ``left.seeds``


@dataclass(frozen=True)
class Measured:
    """One metric of one side."""

    estimate: Estimate | None  # ``None`` where no run has the metric
    planned: int  # runs; 0 while the side's value is not chosen
    diverged: int  # how many of the finished runs
    without: int  # how many finished runs whose metric is not finite or not recorded


class Sampler:
    """Draws samples from the runs of a folder; each metric is computed once a run."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = {run.name: run for run in runs if run.finished}
        self._examples = cache(self._read_examples)
        self.sample = cache(self._sample)

    def measure(self, names: tuple[str, ...], metric: str) -> Measured:
        """Estimate a metric of the planned runs named."""
        sample = self.sample(names, metric)
        found = [self._runs[name] for name in names if name in self._runs]
        diverged = sum(run.status == "diverged" for run in found)
        return Measured(estimate(sample), len(names), diverged, len(sample.without))

    def _read_examples(self, name: str, metric: str) -> tuple[FloatArray, IntArray] | None:
        """Return ``(N,)`` numbers whose mean is the metric, and labels, of stored predictions."""
        part, _, measure = metric.partition("/")
        if part not in ("val", "test") or measure not in RANGES:
            return None
        stored = read_predictions(self._runs[name].files.predictions, part)
        return stored and (getattr(metrics, measure)(*stored, reduction="none"), stored[1])

    def _sample(self, names: tuple[str, ...], metric: str) -> Sample:
        """Collect a metric, such as ``test/accuracy``, of the planned runs named."""
        kept, without, stored = [], [], []
        found = [self._runs[name] for name in names if name in self._runs]
        for run in sorted(found, key=lambda run: run.seed):
            each = self._examples(run.name, metric)
            value = number(run, metric) if each is None else float(each[0].mean())
            if value is None or not math.isfinite(value):
                without.append(run.name)
                continue
            kept.append((run.seed, value))
            if each is not None:
                stored.append(each)
        two_way = 0 < len(stored) == len(kept) and _same([labels for _, labels in stored])
        return Sample(
            metric=metric,
            seeds=tuple(seed for seed, _ in kept),
            values=np.array([value for _, value in kept]),
            examples=np.stack([each for each, _ in stored]) if two_way else None,
            labels=stored[0][1] if two_way else None,
            missing=tuple(name for name in names if name not in self._runs),
            without=tuple(without),
        )


def _same(labels: Sequence[IntArray]) -> bool:
    return all(np.array_equal(labels[0], other) for other in labels)


def estimate(sample: Sample) -> Estimate | None:
    """Return the mean over seeds with its interval, ``None`` without a single run."""
    if not sample.seeds:
        return None
    interval, covers = _interval(sample.values, sample.examples)
    return Estimate(
        n=len(sample.seeds),
        mean=float(sample.values.mean()),
        interval=within_range(interval, sample.metric),
        covers=covers,
        seeds=sample.seeds,
        values=tuple(sample.values.tolist()),
    )


def _interval(values: FloatArray, examples: FloatArray | None) -> tuple[Interval | None, Covers]:
    if examples is None:
        return t_interval(values), "seeds"
    return two_way_interval(examples), "seeds and test examples"


def within_range(interval: Interval | None, metric: str) -> Interval | None:
    """Cut an interval of a metric at the ends of what the metric can be.

    >>> within_range(Interval(0.97, 1.02), "val/accuracy")
    Interval(low=0.97, high=1.0)
    """
    lowest, highest = RANGES.get(metric.partition("/")[2], (-np.inf, np.inf))
    return interval and Interval(max(interval.low, lowest), min(interval.high, highest))


def compare(
    left: Sample, right: Sample, *, beyond: tuple[Sample, Sample] | None = None
) -> Comparison | None:
    """Compare two samples on their common seeds, ``None`` if they have none in common.

    With ``beyond``, the difference of those two is taken from theirs.
    """
    samples = (left, right, *(beyond or ()))
    seeds = sorted(set.intersection(*(set(sample.seeds) for sample in samples)))
    samples = tuple(sample.on(seeds) for sample in samples)
    of_left, of_right = estimate(samples[0]), estimate(samples[1])
    if of_left is None or of_right is None:
        return None

    def difference(parts: Sequence[FloatArray]) -> FloatArray:
        signed = [sign * part for sign, part in zip((1, -1, -1, 1), parts, strict=False)]
        total: FloatArray = np.sum(signed, axis=0)
        return total

    values = difference([sample.values for sample in samples])
    each = [sample.examples for sample in samples if sample.examples is not None]
    labels = [sample.labels for sample in samples if sample.labels is not None]
    # Example by example, so that what the sides share cancels.
    paired = difference(each) if len(each) == len(samples) and _same(labels) else None
    interval, covers = _interval(values, paired)
    return Comparison(
        n=len(seeds),
        left=of_left,
        right=of_right,
        difference=float(values.mean()),
        interval=interval,
        covers=covers,
        p=sign_flip_p(values),
        values=tuple(values.tolist()),
    )


@dataclass(frozen=True)
class TuningPoint:
    """One arm at one value of the grid."""

    arm: str  # its name
    value: float  # of the parameter
    planned: int  # runs
    n: int  # runs that count
    mean: float | None  # of the validation accuracy over seeds; ``None`` if no run has one
    interval: Interval | None  # Student's t over seeds
    diverged: int  # how many of the n
    # what the choice goes by: the mean, −∞ when a run diverged before its first evaluation,
    # ``None`` while a run is missing
    score: float | None


@dataclass(frozen=True)
class Choice:
    """An arm's chosen value: of the highest mean, and of equal ones the smallest."""

    value: float
    mean: float  # validation accuracy over the tuning seeds
    bracketed: bool  # whether it lies strictly inside the grid: beyond its edge may be a better one


def tuning_points(plan: Plan, runs: Sequence[Run]) -> list[TuningPoint]:
    """Average the grid over seeds, in the order of the arms, values ascending.

    Diverged runs count with their last accuracy.
    """
    finished = {run.name: run for run in runs if run.finished}
    grid = pd.DataFrame(plan.tune, columns=["arm", "value", "seed", "run", "rate"])
    points = []
    for (arm, value), planned in grid.groupby(["arm", "value"])["run"]:
        found = [finished[name] for name in planned if name in finished]
        finals = pd.Series([number(run, plan.select) for run in found], dtype=np.float64)
        known = finals.dropna().to_numpy()
        mean = float(known.mean()) if len(known) else None
        score = mean if mean is not None and len(known) == len(found) else -math.inf
        points.append(
            TuningPoint(
                arm=str(arm),
                value=float(value),
                planned=len(planned),
                n=len(found),
                mean=mean,
                interval=within_range(t_interval(known), plan.select),
                diverged=sum(run.status == "diverged" for run in found),
                score=score if len(found) == len(planned) else None,
            )
        )
    order = list(plan.arms)
    return sorted(points, key=lambda point: (order.index(point.arm), point.value))


def select(points: Sequence[TuningPoint]) -> dict[str, Choice]:
    """Choose every arm's value by its mean validation accuracy over the tuning seeds.

    An arm that lacks a tuning run (not started, failed, damaged) is absent, and so is one whose
    runs all diverged before their first evaluation.
    """
    chosen = {}
    for arm in dict.fromkeys(point.arm for point in points):
        mine = [point for point in points if point.arm == arm]
        # Means of the same numbers in another order differ in the last digit, and are ties.
        complete = [round(point.score, 12) for point in mine if point.score is not None]
        if len(complete) == len(mine) and max(complete) > -math.inf:
            best = complete.index(max(complete))
            chosen[arm] = Choice(mine[best].value, complete[best], 0 < best < len(mine) - 1)
    return chosen
