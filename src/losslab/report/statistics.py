"""Intervals and p-values for runs that differ in their seed and share their test examples.

What each interval covers:

- :func:`t_interval`: the noise of seeds (initial weights, order of the batches), given this test
  part and this training part. For the few tuning seeds, and where no predictions are stored.
- :func:`two_way_interval`: the noise of seeds and that of which examples the test part happens
  to hold, together. Not that of another training part, another data set or another network.

Everything random here is drawn from fixed streams: the same runs give the same numbers.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# scipy.special and not scipy.stats: the latter takes seconds to import on a slow core.
from scipy import special

from losslab.report.metrics import FloatArray, combine

LEVEL = 0.95
RESAMPLES = 10_000
EXACT_UP_TO = 14
RANDOM_FLIPS = 100_000
_CHUNK = 256


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def t_interval(values: FloatArray, *, level: float = LEVEL) -> Interval | None:
    """Return Student's t interval of a mean, ``None`` for fewer than two values.

    Args:
        values: ``(S,)`` one a seed.
        level: Of confidence.

    >>> t_interval(np.array([0.90, 0.92, 0.94]))
    Interval(low=0.870..., high=0.969...)
    """
    n = len(values)
    if n < 2:
        return None
    half = float(special.stdtrit(n - 1, (1 + level) / 2) * values.std(ddof=1) / np.sqrt(n))
    mean = float(values.mean())
    return Interval(mean - half, mean + half)


def resampled_metric(features: FloatArray, *, resamples: int = RESAMPLES) -> FloatArray:
    """Recompute every seed's metric on test parts drawn with replacement from the test part.

    Args:
        features: ``(S, N, F)``, see :func:`losslab.report.metrics.features`.
        resamples: B.

    Returns:
        ``(B, S)``. Resample b is the same draw of examples in every call with the same N, so that
        two sides can be subtracted.
    """
    seeds, examples, width = features.shape
    columns = features.transpose(1, 0, 2).reshape(examples, seeds * width)
    counts = _counts(examples, resamples, stream=1)
    means = np.empty((resamples, seeds * width))
    for start in range(0, resamples, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        means[chunk] = counts[chunk].astype(np.float64) @ columns / examples
    return combine(means.reshape(resamples, seeds, width))


def two_way_interval(
    resampled: FloatArray, *, measured: float, level: float = LEVEL
) -> Interval | None:
    """Return the interval of a mean over seeds, by resampling seeds and test examples together.

    The bootstrap of crossed factors (Owen 2007, "The pigeonhole bootstrap"): every resample draws
    S seeds and N examples, each with replacement, independently. The interval is the measured
    value ± t · √(S / (S − 1)) · the resamples' standard deviation, t being Student's with S − 1
    degrees of freedom (Hesterberg 2015). Plain percentiles are too narrow for few seeds: where
    seeds are most of the noise, three of them cover the truth in fewer than 85 of 100 cases. Where
    the test part is most of the noise the interval is wider than need be.

    It lies around the measured value, also for a calibration error, which is larger on a resample
    than on what it was drawn from.

    Args:
        resampled: ``(B, S)`` from :func:`resampled_metric`, or the difference of two such.
        measured: The metric's mean over seeds on the examples themselves.
        level: Of confidence.

    Returns:
        ``None`` for fewer than two seeds.
    """
    resamples, seeds = resampled.shape
    if seeds < 2:
        return None
    means = (_counts(seeds, resamples, stream=2) * resampled).sum(axis=1) / seeds
    t = special.stdtrit(seeds - 1, (1 + level) / 2)
    half = float(t * np.sqrt(seeds / (seeds - 1)) * means.std())
    return Interval(measured - half, measured + half)


def sign_flip_p(differences: FloatArray) -> float:
    """Return the two-sided p-value of paired differences: would any sign have done?

    If a pair's two sides were exchangeable, every difference could as well have the other sign.
    The p-value is the share of all 2^S choices of signs whose mean is at least as far from zero as
    the measured one (Fisher 1935); beyond 14 seeds it is estimated from 100,000 random choices.
    The smallest that S seeds can give is 2 / 2^S: 0.0625 for five, 0.002 for ten.

    Args:
        differences: ``(S,)`` left minus right, one a seed.

    >>> sign_flip_p(np.array([0.02, 0.01, 0.03, 0.02, 0.01]))
    0.0625
    """
    n = len(differences)
    observed = abs(differences.sum())
    # Sums that are equal but for rounding are ties, and count.
    threshold = observed - 1e-12 * np.abs(differences).sum()
    if n <= EXACT_UP_TO:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        return float(np.mean(np.abs(signs @ differences) >= threshold))
    generator = np.random.default_rng([n, 3])
    flips = generator.integers(0, 2, size=(RANDOM_FLIPS, n), dtype=np.int8)
    extreme = np.count_nonzero(np.abs((1 - 2 * flips) @ differences) >= threshold)
    return float((extreme + 1) / (RANDOM_FLIPS + 1))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct a family of p-values for their number (Holm 1979).

    Args:
        p_values: One a claim. ``None``, not measured yet, stays ``None`` and counts as a member:
            otherwise a half-finished study would be judged more leniently than a finished one.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    size = len(p_values)
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * size
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, (size - rank) * p))
        corrected[index] = largest
    return corrected


@lru_cache(maxsize=4)
def _counts(number: int, resamples: int, *, stream: int) -> npt.NDArray[np.uint16]:
    """Return ``(resamples, number)``: how often each was drawn, ``number`` draws a resample."""
    generator = np.random.default_rng([number, stream])
    counts = np.empty((resamples, number), dtype=np.uint16)
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        drawn = generator.integers(0, number, size=(rows, number))
        drawn += number * np.arange(rows)[:, None]
        flat = np.bincount(drawn.ravel(), minlength=rows * number)
        counts[start : start + rows] = flat.reshape(rows, number)
    return counts
