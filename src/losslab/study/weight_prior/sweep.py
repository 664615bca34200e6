"""A grid of runs over prior widths, training sizes and seeds, and what is read off its columns."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from losslab.report.statistics import FloatArray
from losslab.study.points import Point
from losslab.study.reading import final

STD, SIZE = "loss.prior.std", "data.train_size"


@dataclass(frozen=True)
class Sweep:
    """Runs over prior widths, training sizes and seeds, all combinations.

    Attributes:
        points: With the values :data:`STD` and :data:`SIZE`.
    """

    points: list[Point]

    @cached_property
    def stds(self) -> list[float]:
        """Widths σ, ascending."""
        return sorted({point.values[STD] for point in self.points})

    @cached_property
    def sizes(self) -> list[int]:
        """Training sizes N, ascending."""
        return sorted({point.values[SIZE] for point in self.points})

    @cached_property
    def seeds(self) -> list[int]:
        """Seeds, ascending."""
        return sorted({point.seed for point in self.points})

    def of(self, size: int, number: Callable[[Point], float]) -> FloatArray:
        """Return ``(S, V)``: a number of every run of a size, by seed and width."""
        found = {(p.seed, p.values[STD]): number(p) for p in self.points if p.values[SIZE] == size}
        return np.array([[found[seed, std] for std in self.stds] for seed in self.seeds])

    def tag(self, size: int, tag: str) -> FloatArray:
        """Return ``(S, V)`` final numbers of a tag."""
        return self.of(size, lambda point: final(point, tag))


def inner_best(score: FloatArray) -> int:
    """Return the column, neither first nor last, whose mean over seeds is highest.

    Args:
        score: ``(S, V)``, higher is better.

    >>> inner_best(np.array([[9.0, 1.0, 2.0, 9.0]]))
    2
    """
    return 1 + int(score.mean(axis=0)[1:-1].argmax())


def gain_over_ends(score: FloatArray, column: int) -> FloatArray:
    """Return ``(S,)`` how far a column is above the better one of the two ends.

    The better end is found by its mean over seeds, so that one side is one configuration.

    >>> gain_over_ends(np.array([[1.0, 5.0, 3.0], [1.0, 4.0, 3.0]]), 1).tolist()
    [2.0, 1.0]
    """
    means = score.mean(axis=0)
    end = 0 if means[0] > means[-1] else -1
    return np.asarray(score[:, column] - score[:, end])


def rank_correlation(values: FloatArray) -> FloatArray:
    """Return ``(S,)`` Spearman's correlation of each row of ``(S, V)`` with its column's number.

    NaN for a row that holds one. Equal values share the mean of their ranks.

    >>> rank_correlation(np.array([[0.1, 0.5, 0.7], [3.0, 2.0, 1.0]])).tolist()
    [1.0, -1.0]
    """
    return np.array([_spearman(row) for row in values])


def _spearman(row: FloatArray) -> float:
    if np.isnan(row).any() or len(np.unique(row)) < 2:
        return np.nan
    _, inverse, counts = np.unique(row, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float(np.round(np.corrcoef(ranks, np.arange(len(row)))[0, 1], 12))
