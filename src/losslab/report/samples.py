"""One metric on one side's seeds, its interval, and the paired difference of two sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Literal

import numpy as np

from losslab.report.load import Run, read_scores
from losslab.report.metrics import (
    EXAMPLE_METRICS,
    RANGES,
    FloatArray,
    IntArray,
    Scores,
    contributions,
)
from losslab.report.statistics import (
    Interval,
    sign_flip_p,
    t_interval,
    two_way_interval,
)

Covers = Literal["seeds and test examples", "seeds"]


@dataclass(frozen=True)
class Sample:
    """One metric of the runs of one side.

    Attributes:
        metric: Its tag.
        seeds: ``(S,)`` of the runs that have the metric, ascending.
        values: ``(S,)`` the metric.
        contributions: ``(S, N)`` whose means over the examples are the values; ``None`` unless
            every run has its predictions and all were tested on the same examples.
        labels: ``(N,)`` of those examples.
        missing: Names of planned runs that are not finished.
        without: Names of finished runs whose metric is not finite or not recorded.
    """

    metric: str
    seeds: tuple[int, ...]
    values: FloatArray
    contributions: FloatArray | None
    labels: IntArray | None
    missing: tuple[str, ...]
    without: tuple[str, ...]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        n: Seeds.
        mean: Of the metric.
        interval: 95%; ``None`` for fewer than two seeds.
        covers: Which noise the interval holds.
    """

    n: int
    mean: float
    interval: Interval | None
    covers: Covers


@dataclass(frozen=True)
class Comparison:
    """Two sides on the seeds that both have.

    Attributes:
        n: Pairs.
        left: Mean of the left side.
        right: Mean of the right side.
        difference: ``left - right``.
        interval: Its 95% interval; ``None`` for fewer than two pairs.
        covers: Which noise the interval holds.
        p: Two-sided, by flipping the pairs' signs, not corrected.
    """

    n: int
    left: float
    right: float
    difference: float
    interval: Interval | None
    covers: Covers
    p: float


class Sampler:
    """Draws samples from the runs of a folder; every run's predictions are read once.

    Args:
        runs: As read.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = {run.name: run for run in runs if run.finished}
        self._scores = cache(self._read_scores)
        self.sample = cache(self._sample)

    def _read_scores(self, name: str, split: str) -> Scores | None:
        return read_scores(self._runs[name], split)

    def _sample(self, names: tuple[str, ...], metric: str) -> Sample:
        """Collect a metric, such as ``test/accuracy``, from the planned runs named."""
        split, _, measure = metric.partition("/")
        found = sorted(
            (self._runs[name] for name in names if name in self._runs), key=attrgetter("seed")
        )
        examples: list[FloatArray] = []
        labels: list[IntArray] = []
        kept: list[tuple[int, float]] = []
        without: list[str] = []
        for run in found:
            scores = self._scores(run.name, split) if measure in EXAMPLE_METRICS else None
            each = None if scores is None else contributions(scores, measure)
            value = run.final(metric) if each is None else float(each.mean())
            if value is None or not np.isfinite(value):
                without.append(run.name)
                continue
            kept.append((run.seed, value))
            if scores is not None and each is not None:
                examples.append(each)
                labels.append(scores.labels)
        same = len(examples) == len(kept) and all(np.array_equal(labels[0], y) for y in labels)
        two_way = bool(kept) and same
        return Sample(
            metric=metric,
            seeds=tuple(seed for seed, _ in kept),
            values=np.array([value for _, value in kept]),
            contributions=np.stack(examples) if two_way else None,
            labels=labels[0] if two_way else None,
            missing=tuple(name for name in names if name not in self._runs),
            without=tuple(without),
        )


def estimate(sample: Sample) -> Estimate | None:
    """Return the mean over seeds with its interval, ``None`` without a single run."""
    if not sample.seeds:
        return None
    mean = float(sample.values.mean())
    if sample.contributions is None:
        return Estimate(len(sample.seeds), mean, t_interval(sample.values), "seeds")
    interval = two_way_interval(sample.contributions)
    if interval is not None:
        lowest, highest = RANGES[sample.metric.partition("/")[2]]
        interval = Interval(max(interval.low, lowest), min(interval.high, highest))
    return Estimate(len(sample.seeds), mean, interval, "seeds and test examples")


def compare(left: Sample, right: Sample) -> Comparison | None:
    """Compare two samples on their common seeds, ``None`` if they have none in common."""
    seeds = sorted(set(left.seeds) & set(right.seeds))
    if not seeds:
        return None
    rows = [[sample.seeds.index(seed) for seed in seeds] for sample in (left, right)]
    values = [sample.values[index] for sample, index in zip((left, right), rows, strict=True)]
    differences = values[0] - values[1]
    covers: Covers = "seeds"
    interval = t_interval(differences)
    if (
        left.contributions is not None
        and right.contributions is not None
        and left.labels is not None
        and right.labels is not None
        and np.array_equal(left.labels, right.labels)
    ):
        covers = "seeds and test examples"
        # Example by example, so that what the two sides share cancels.
        interval = two_way_interval(left.contributions[rows[0]] - right.contributions[rows[1]])
    return Comparison(
        n=len(seeds),
        left=float(values[0].mean()),
        right=float(values[1].mean()),
        difference=float(differences.mean()),
        interval=interval,
        covers=covers,
        p=sign_flip_p(differences),
    )
