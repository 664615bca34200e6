"""One metric on one side's seeds, its interval, and the paired difference of two sides."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    """Two sides on the seeds that both have, or how far they differ beyond two others.

    Attributes:
        n: Pairs.
        left: The left side on these seeds.
        right: The right side on these seeds.
        difference: ``left - right``; less the difference of two others where those were given.
        interval: Its 95% interval; ``None`` for fewer than two pairs.
        covers: Which noise the interval holds.
        p: Two-sided, by flipping the pairs' signs, not corrected.
    """

    n: int
    left: Estimate
    right: Estimate
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
            of_examples = split in ("val", "test") and measure in EXAMPLE_METRICS
            scores = self._scores(run.name, split) if of_examples else None
            each = None if scores is None else contributions(scores, measure)
            value = run.number(metric) if each is None else float(each.mean())
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
    return _estimate(sample) if sample.seeds else None


def _estimate(sample: Sample) -> Estimate:
    covers: Covers = "seeds"
    interval = t_interval(sample.values)
    if sample.contributions is not None:
        covers = "seeds and test examples"
        interval = two_way_interval(sample.contributions)
    mean = float(sample.values.mean())
    return Estimate(len(sample.seeds), mean, within_range(interval, sample.metric), covers)


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

    Args:
        left: One side.
        right: The other.
        beyond: Two more sides, whose difference is taken from theirs.
    """
    samples = (left, right, *(beyond or ()))
    seeds = sorted(set.intersection(*(set(sample.seeds) for sample in samples)))
    if not seeds:
        return None
    samples = tuple(_on(sample, seeds) for sample in samples)
    signs = (1, -1, -1, 1)[: len(samples)]
    differences = np.sum(
        [sign * sample.values for sign, sample in zip(signs, samples, strict=True)], axis=0
    )
    covers: Covers = "seeds"
    interval = t_interval(differences)
    each = [sample.contributions for sample in samples if sample.contributions is not None]
    labels = [sample.labels for sample in samples if sample.labels is not None]
    if len(each) == len(samples) and all(np.array_equal(labels[0], y) for y in labels):
        covers = "seeds and test examples"
        # Example by example, so that what the sides share cancels.
        interval = two_way_interval(
            np.sum([sign * value for sign, value in zip(signs, each, strict=True)], axis=0)
        )
    return Comparison(
        n=len(seeds),
        left=_estimate(samples[0]),
        right=_estimate(samples[1]),
        difference=float(differences.mean()),
        interval=interval,
        covers=covers,
        p=sign_flip_p(differences),
    )


def _on(sample: Sample, seeds: Sequence[int]) -> Sample:
    rows = [sample.seeds.index(seed) for seed in seeds]
    each = sample.contributions
    return replace(
        sample,
        seeds=tuple(seeds),
        values=sample.values[rows],
        contributions=None if each is None else each[rows],
    )
