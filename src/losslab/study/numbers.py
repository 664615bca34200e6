"""Measures that many studies share: ratios, shares, spreads and counts over runs.

Each takes the sets of runs that it is about. A metric is ``<tag>`` or ``<tag>@<selector>``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from losslab.recording import Run
from losslab.report.measurement import Measurement, Quantity, TableOfNumbers
from losslab.report.selectors import SELECTORS, split
from losslab.report.statistics import FloatArray
from losslab.study.measure import Runs
from losslab.study.over_seeds import over_seeds, pairs
from losslab.study.reading import final, predictions, record, value_of

RESAMPLES = 2000


def number(point: Run, metric: str) -> float:
    """Return a run's metric, ``<tag>`` or ``<tag>@<selector>``; NaN where it has none."""
    tag, selector = split(metric)
    if not selector:
        return final(point, tag)
    _, values = record(point, tag)
    return SELECTORS[selector].select(values) if values else math.nan


def paired(runs: Runs, *, quantities: Mapping[str, Mapping[str, Any]]) -> Measurement:
    """Measure ratios of two numbers, seed by seed.

    Args:
        runs: The sets named below.
        quantities: By name: ``what`` it is, ``left`` and ``over``, each a set of runs and a metric.
    """
    measured = {}
    for name, about in quantities.items():
        (left, metric), (right, other) = about["left"], about["over"]
        ratios = [
            number(one, metric) / number(two, other) for one, two in pairs(runs[left], runs[right])
        ]
        measured[name] = over_seeds(ratios, about["what"])
    return Measurement(quantities=measured)


def shares(
    runs: Runs, *, quantities: Mapping[str, Mapping[str, str]], metric: str = "test/accuracy"
) -> Measurement:
    """Measure which share of a gap a change closes: mean(to − from) over mean(whole − from).

    The interval is the bias-corrected bootstrap's over seeds, a ratio of means having no simple
    one; runs of the same seed are drawn together.

    Args:
        runs: The sets named below.
        quantities: By name: ``what`` it is, and the sets ``from``, ``to`` and ``whole``.
        metric: In which the gap is measured.
    """
    measured = {}
    for name, about in quantities.items():
        values = [
            np.array([number(point, metric) for point in runs[about[key]]])
            for key in ("from", "to", "whole")
        ]
        closed, gap = values[1] - values[0], values[2] - values[0]
        measured[name] = _bootstrapped(_ratio_of_means, closed, gap, about["what"])
    return Measurement(quantities=measured)


def _ratio_of_means(a: Any, b: Any, axis: int = -1) -> Any:
    return np.mean(a, axis=axis) / np.mean(b, axis=axis)


def disagreement(runs: Runs) -> Measurement:
    """Measure how many test examples two runs of a set classify differently, on average.

    The interval comes from leaving out one run at a time (the jackknife, Student's t): pairs of
    runs are not independent of one another.
    """
    return Measurement(quantities={name: _disagreement(points) for name, points in runs.items()})


def _disagreement(points: Sequence[Run]) -> Quantity:
    classes = np.array([predictions(point)[0].argmax(1).numpy() for point in points])
    n = len(points)
    differ = np.zeros((n, n))
    for i, j in combinations(range(n), 2):
        differ[i, j] = differ[j, i] = np.mean(classes[i] != classes[j])
    mean = differ.sum() / (n * (n - 1))
    low, high = 0.0, 1.0  # a single pair of runs says nothing about others
    if n > 2:
        without = (differ.sum() - 2 * differ.sum(axis=1)) / ((n - 1) * (n - 2))
        error = math.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2))
        half = float(stats.t.ppf(0.975, n - 1)) * error
        low, high = max(0.0, float(mean) - half), min(1.0, float(mean) + half)
    return Quantity(
        value=float(mean),
        low=low,
        high=high,
        n=n,
        what="share of test examples on which two runs from different starts disagree",
    )


def lost_classes(
    runs: Runs, *, labels: Mapping[str, str] | None = None, below: float = 0.01
) -> Measurement:
    """Measure the share of runs that lost a class: its recall on the test part is below ``below``.

    Which runs lose one, and which class, is chance, so the interval is a binomial's (Clopper and
    Pearson 1934, SciPy's ``exact``).

    Args:
        runs: Sets to count in.
        labels: Set to what people read, in the table.
        below: Recall, the share of a class's examples that are recognised.
    """
    quantities, rows = {}, []
    for name, points in runs.items():
        recalls = np.array([_recalls(point) for point in points])
        lost = int((recalls < below).any(axis=1).sum())
        interval = stats.binomtest(lost, len(points)).proportion_ci(method="exact")
        quantities[name] = Quantity(
            value=lost / len(points),
            low=float(interval.low),
            high=float(interval.high),
            n=len(points),
            what=f"share of runs in which some class's recall on the test part is below {below:g}",
        )
        classes = [f"{int((row < below).sum())}" for row in recalls if (row < below).any()]
        rows.append(
            [(labels or {}).get(name, name), f"{lost} of {len(points)}", ", ".join(classes) or "–"]
        )
    table = TableOfNumbers(
        title=f"Runs that lost a class (recall below {below:.0%})",
        columns=["", "runs", "classes lost in each"],
        rows=rows,
    )
    return Measurement(quantities=quantities, tables=[table])


def _recalls(point: Run) -> FloatArray:
    logits, labels = (part.numpy() for part in predictions(point))
    right = logits.argmax(1) == labels
    return np.array([right[labels == label].mean() for label in np.unique(labels)])


def chosen_ratio(runs: Runs, *, over: str, parameter: str = "optimizer.lr") -> Measurement:
    """Measure each set's chosen value divided by that of the set ``over``.

    A value chosen from a grid has no interval: it is known to the grid's step.
    """
    chosen = {name: float(value_of(points[0], parameter)) for name, points in runs.items()}
    return Measurement(
        quantities={
            name: Quantity(
                value=value / chosen[over],
                n=len(runs[name]),
                what=f"chosen {parameter} ({value:g}) over that of {over} ({chosen[over]:g})",
            )
            for name, value in chosen.items()
            if name != over
        }
    )


def spread_ratio(runs: Runs, *, over: str, tag: str) -> Measurement:
    """Measure each set's standard deviation over seeds divided by that of the set ``over``.

    The interval is the bias-corrected bootstrap's over seeds (Efron 1987, SciPy's ``BCa``); runs
    of the same seed are drawn together.
    """
    values = {name: np.array([number(p, tag) for p in points]) for name, points in runs.items()}
    return Measurement(
        quantities={
            name: _bootstrapped(
                _ratio_of_spreads,
                mine,
                values[over],
                f"standard deviation of {tag} over seeds, {name} over {over}",
            )
            for name, mine in values.items()
            if name != over
        }
    )


def _ratio_of_spreads(a: Any, b: Any, axis: int = -1) -> Any:
    return np.std(a, axis=axis, ddof=1) / np.std(b, axis=axis, ddof=1)


def _bootstrapped(statistic: Callable[..., Any], a: Any, b: Any, what: str) -> Quantity:
    found = stats.bootstrap(
        (a, b),
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Quantity(
        value=float(statistic(a, b)),
        low=float(found.low),
        high=float(found.high),
        n=len(a),
        what=what,
    )
