"""Estimates with intervals: of metrics, and of differences between sides."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from losslab import metrics
from losslab.metrics import RANGES
from losslab.recording import Run, read_predictions
from losslab.report.selectors import number
from losslab.report.statistics import (
    FloatArray,
    IntArray,
    Interval,
    Noise,
    binomial_interval,
    interval_with_seeds,
    noise_of,
    sign_flip_p,
    two_way_interval,
)

EXAMPLES = "test examples"
CHOICE = "choice of value"
DRAWS = 2000  # bootstrap draws of the tuning seeds
LOST = 0.01  # a class with a smaller recall counts as lost


def recalls(right: FloatArray, labels: IntArray) -> FloatArray:
    """Return the recall of each class ``(S, K)``.

    ``right`` ``(S, N)`` is 1 where a seed classifies an example correctly; ``labels`` are ``(N,)``.

    >>> recalls(np.array([[1.0, 0.0, 1.0]]), np.array([0, 0, 1]))
    array([[0.5, 1. ]])
    """
    classes = [labels == label for label in np.unique(labels)]
    return np.stack([right[:, members].mean(axis=1) for members in classes], axis=1)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One metric of the runs of one side."""

    metric: str  # its tag
    seeds: tuple[int, ...]  # ``(S,)`` of the runs that have the metric, ascending
    values: FloatArray  # ``(S,)`` the metric
    # ``(S, N)``, whose means over examples are the values; ``None`` unless all runs stored
    # predictions of the same examples
    examples: FloatArray | None = None
    labels: IntArray | None = None  # ``(N,)`` of those examples
    planned: tuple[str, ...] = ()  # names of the runs
    missing: tuple[str, ...] = ()  # those that are not finished
    diverged: tuple[str, ...] = ()  # those that diverged
    without: tuple[str, ...] = ()  # finished ones whose metric is not finite or not recorded
    # noise from the choice of the value; ``None`` if nothing was chosen
    choice: "Rechoice | None" = None

    @property
    def all_diverged(self) -> bool:
        """Whether some runs are finished and all of those diverged."""
        return 0 < len(self.diverged) == len(self.planned) - len(self.missing)

    @property
    def lost(self) -> tuple[int, ...]:
        """Seeds at which some class has a recall below 1%; empty unless the metric is accuracy."""
        if self.examples is None or self.labels is None or not self.metric.endswith("/accuracy"):
            return ()
        worst = recalls(self.examples, self.labels).min(axis=1)
        return tuple(np.array(self.seeds)[worst < LOST].tolist())

    def on(self, seeds: Sequence[int]) -> "Sample":
        """Restrict the sample to some of its seeds."""
        rows = [self.seeds.index(seed) for seed in seeds]
        examples = None if self.examples is None else self.examples[rows]
        return replace(self, seeds=tuple(seeds), values=self.values[rows], examples=examples)


@dataclass(frozen=True)
class Rechoice:
    """The choice of a value repeated on tuning seeds drawn with replacement."""

    moves: FloatArray  # ``(DRAWS,)`` the metric at each draw's choice, minus that at the actual one
    seeds: int  # number of tuning seeds

    def noise(self) -> Noise:
        """Return the noise that the choice adds to a mean: the mean square of the moves."""
        return Noise(float(np.mean(self.moves**2)), max(self.seeds - 1, 1))


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, of a metric or of a weighted sum of samples."""

    n: int  # number of seeds
    mean: float
    interval: Interval | None  # 95%; ``None`` for fewer than two seeds
    covers: str  # the sources of noise in the interval
    by_seed: Mapping[int, float] = field(default_factory=dict)  # the values averaged


@dataclass(frozen=True, kw_only=True)
class Comparison(Estimate):
    """The mean of the paired differences of two sides, ``left - right``, on their common seeds.

    With two more sides, minus the difference of those.
    """

    left: Estimate  # on the common seeds
    right: Estimate
    p: float  # two-sided, from a sign-flip test, uncorrected


@dataclass(frozen=True)
class Measured:
    """One metric of one side."""

    estimate: Estimate | None  # ``None`` if no run has the metric
    planned: int  # number of runs; 0 while the side's value is not chosen
    diverged: int  # number of diverged runs
    without: int  # number of finished runs whose metric is not finite or not recorded
    lost: tuple[int, ...] = ()  # for an accuracy, the seeds that lost a class
    lost_share: Interval | None = None  # their share, 95%, exact
    given_success: Estimate | None = None  # over the other seeds


class Sampler:
    """Collects samples from runs; the metrics of a run are computed once."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = {run.name: run for run in runs if run.finished}
        self._examples = cache(self._read_examples)
        self.sample = cache(self._sample)

    def _sample(self, names: tuple[str, ...], metric: str) -> Sample:
        """Collect a metric, such as ``test/accuracy``, of the planned runs named."""
        finished = sorted(
            (self._runs[name] for name in names if name in self._runs), key=lambda run: run.seed
        )
        kept, stored, without = [], [], []
        for run in finished:
            predicted = self._examples(run.name, metric)
            value = number(run, metric) if predicted is None else float(predicted[0].mean())
            if value is None or not math.isfinite(value):
                without.append(run.name)
                continue
            kept.append((run.seed, value))
            if predicted is not None:
                stored.append(predicted)
        same = 0 < len(stored) == len(kept) and _same([labels for _, labels in stored])
        return Sample(
            metric=metric,
            seeds=tuple(seed for seed, _ in kept),
            values=np.array([value for _, value in kept]),
            examples=np.stack([examples for examples, _ in stored]) if same else None,
            labels=stored[0][1] if same else None,
            planned=names,
            missing=tuple(name for name in names if name not in self._runs),
            diverged=tuple(run.name for run in finished if run.status == "diverged"),
            without=tuple(without),
        )

    def _read_examples(self, name: str, metric: str) -> tuple[FloatArray, IntArray] | None:
        """Return per-example values ``(N,)`` of a metric, and labels, from stored predictions."""
        part, _, measure = metric.partition("/")
        if part not in ("val", "test") or measure not in RANGES:
            return None
        stored = read_predictions(self._runs[name].files.predictions, part)
        return stored and (getattr(metrics, measure)(*stored, reduction="none"), stored[1])


def _same(labels: Sequence[IntArray]) -> bool:
    return all(np.array_equal(labels[0], other) for other in labels)


def estimate(sample: Sample) -> Estimate | None:
    """Return the mean over seeds with its interval, ``None`` without runs."""
    mean = combine([sample], [1.0])
    return mean and replace(mean, interval=within_range(mean.interval, sample.metric))


def measure(sample: Sample) -> Measured:
    """Estimate a metric of a side, for an accuracy also without the runs that lost a class."""
    measured = Measured(
        estimate(sample), len(sample.planned), len(sample.diverged), len(sample.without)
    )
    if not (lost := sample.lost):
        return measured
    return replace(
        measured,
        lost=lost,
        lost_share=binomial_interval(len(lost), len(sample.seeds)),
        given_success=estimate(sample.on([seed for seed in sample.seeds if seed not in lost])),
    )


def within_range(interval: Interval | None, metric: str) -> Interval | None:
    """Clip an interval to the range of its metric."""
    lowest, highest = RANGES.get(metric.partition("/")[2], (-np.inf, np.inf))
    return interval and Interval(max(interval.low, lowest), min(interval.high, highest))


def combine(samples: Sequence[Sample], weights: Sequence[float]) -> Estimate | None:
    """Return the weighted sum of samples on their common seeds, ``None`` if they share none."""
    seeds = sorted(set.intersection(*(set(sample.seeds) for sample in samples)))
    if not seeds:
        return None
    samples = [sample.on(seeds) for sample in samples]

    def total(parts: Sequence[FloatArray]) -> FloatArray:
        weighted = [weight * part for weight, part in zip(weights, parts, strict=True)]
        return np.asarray(np.sum(weighted, axis=0))

    values = total([sample.values for sample in samples])
    mean, sources, noise = float(values.mean()), ["seeds"], []
    examples = [sample.examples for sample in samples if sample.examples is not None]
    labels = [sample.labels for sample in samples if sample.labels is not None]
    # Paired by example, so that shared noise cancels.
    paired = total(examples) if len(examples) == len(samples) and _same(labels) else None
    if paired is not None:
        sources.append(EXAMPLES)
    if choices := [sample.choice for sample in samples if sample.choice]:
        # The choices of all sides are repeated on the same draws of the tuning seeds.
        still = np.zeros(DRAWS)
        moves = total([sample.choice.moves if sample.choice else still for sample in samples])
        noise.append(Rechoice(moves, choices[0].seeds).noise())
        sources.append(CHOICE)
    interval = None
    if paired is not None:
        interval = two_way_interval(paired, *noise)
    elif len(seeds) > 1:
        interval = interval_with_seeds(mean, noise_of(values), *noise)
    return Estimate(
        n=len(seeds),
        mean=mean,
        interval=interval,
        covers=" and ".join(filter(None, [", ".join(sources[:-1]), sources[-1]])),
        by_seed=dict(zip(seeds, values.tolist(), strict=True)),
    )


def compare(left: Sample, right: Sample, *, beyond: Sequence[Sample] = ()) -> Comparison | None:
    """Compare two samples on their common seeds.

    The difference of the two samples ``beyond``, if given, is subtracted.
    """
    samples = (left, right, *beyond)
    difference = combine(samples, (1, -1, -1, 1)[: len(samples)])
    if difference is None:
        return None
    seeds = list(difference.by_seed)
    sides = [estimate(sample.on(seeds)) for sample in (left, right)]
    assert sides[0]
    assert sides[1]
    p = sign_flip_p(np.array(list(difference.by_seed.values())))
    return Comparison(**vars(difference), left=sides[0], right=sides[1], p=p)
