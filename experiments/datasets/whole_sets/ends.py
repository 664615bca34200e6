"""Where arms end on one data set: with the best of their variants, when, and how calibrated."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from losslab.metrics import ece
from losslab.recording import Run
from losslab.report.measurement import Measurement, Quantity, TableOfNumbers
from losslab.report.statistics import FloatArray
from losslab.study.measure import Runs, number, over_seeds, predictions, record

DRAWS = 2000
Draw = npt.NDArray[np.integer[Any]]


def ends(
    runs: Runs,
    *,
    against: str,
    families: Mapping[str, Sequence[str]],
    level: float,
    targets: Mapping[str, float],
    labels: Mapping[str, str],
) -> Measurement:
    """Measure all arms under one condition, and the best arm of each family.

    Quantities: ``<family>_gap``, test accuracy of the family's arm with the highest mean validation
    accuracy less that of ``against``'s family, by a percentile bootstrap over seeds in which both
    are chosen anew; ``<arm>_slower``, epochs to ``level`` over those of ``against``, a geometric
    mean over seeds; the expected calibration error (ECE) on the test part with probabilities read
    by softmax, ``<arm>_softmax``, by softmax with a temperature fitted on validation,
    ``<arm>_temperature``, and, of raw outputs divided by their target, by projection to the
    simplex, ``<arm>_simplex``; and the last less the ECE of ``against`` by softmax,
    ``<arm>_simplex_gap``.

    Args:
        runs: Confirming runs of arms, ``<arm>@<condition>``, all with the same seeds.
        against: The arm to compare with.
        families: Name to the arms of which one is chosen; ``against`` is in the first.
        level: Validation accuracy.
        targets: Of each arm with raw outputs, the target of the right class.
        labels: Of ``runs``, as people read them.
    """
    arms = {
        name.partition("@")[0]: sorted(members, key=lambda run: run.seed)
        for name, members in runs.items()
    }
    names = {name.partition("@")[0]: labels[name].rpartition(", ")[0] for name in runs}
    parts = {
        part: {arm: _each(members, f"{part}/accuracy") for arm, members in arms.items()}
        for part in ("val", "test")
    }
    quantities: dict[str, Quantity] = {}
    (_, first), *others = families.items()
    for name, variants in others:
        about = (
            f"test accuracy of {{}} less that of {names[against]}, variants chosen on validation"
        )
        quantities[f"{name}_gap"] = _gap(variants, first, **parts, names=names, what=about)
    times = {arm: np.array([reached(run, level) for run in mine]) for arm, mine in arms.items()}
    rows = []
    for arm, members in arms.items():
        given = [tuple(part.numpy() for part in predictions(run)) for run in members]
        read: dict[str, Sequence[float] | FloatArray] = {
            "softmax": [float(ece(logits, y)) for logits, y in given],
            "temperature": _each(members, "why/calibration/ece_scaled"),
        }
        if arm in targets:
            projected = (on_simplex(logits / targets[arm]) for logits, _ in given)
            with np.errstate(divide="ignore"):  # softmax of the logarithms is what is projected
                read["simplex"] = [
                    float(ece(np.log(p), y)) for p, (_, y) in zip(projected, given, strict=True)
                ]
        how = {key: over_seeds(each, f"ECE of {names[arm]}, {key}") for key, each in read.items()}
        quantities |= {f"{arm}_{key}": found for key, found in how.items()}
        if arm == against:
            reference = np.array(read["softmax"])
        elif "simplex" in read:
            what = f"ECE of {names[arm]} by projection less that of {names[against]} by softmax"
            quantities[f"{arm}_simplex_gap"] = over_seeds(
                np.subtract(read["simplex"], reference), what
            )
        if arm != against and np.isfinite(times[against]).all():
            what = f"epochs to a validation accuracy of {level:.0%} over those of {names[against]}"
            quantities[f"{arm}_slower"] = _geometric(times[arm] / times[against], what)
        came = times[arm][np.isfinite(times[arm])]
        rows.append([
            names[arm], f"{parts['test'][arm].mean():.2%}",
            f"{came.mean():.1f}" if len(came) else "–", f"{len(came)} of {len(members)}",
            *(f"{how[key].value:.2%}" if key in how else "–" for key in _READ),
        ])  # fmt: skip
    table = TableOfNumbers(
        title=f"At the end of training, {labels[next(iter(runs))].rpartition(', ')[2]}",
        columns=["", "test accuracy", f"epochs to {level:.0%} on validation", "runs that get there",
                 *(f"ECE, {key}" for key in _READ)],
        rows=rows,
    )  # fmt: skip
    return Measurement(quantities=quantities, tables=[table])


_READ = ("softmax", "temperature", "simplex")


def on_simplex(scores: FloatArray) -> FloatArray:
    """Return of each row of scores ``(N, K)`` the nearest distribution, max(0, z − τ), ``(N, K)``.

    τ makes the sum 1. Source: Duchi et al. 2008, *Efficient projections onto the l1-ball for
    learning in high dimensions*.

    >>> on_simplex(np.array([[1.2, 0.4, -0.3], [0.0, 0.0, 0.0]])).round(3)
    array([[0.9  , 0.1  , 0.   ],
           [0.333, 0.333, 0.333]])
    """
    falling = -np.sort(-scores, axis=1)
    counts = np.arange(1, scores.shape[1] + 1)
    shifts = (falling.cumsum(axis=1) - 1) / counts
    kept = (falling > shifts).sum(axis=1, keepdims=True)
    nearest: FloatArray = np.maximum(scores - np.take_along_axis(shifts, kept - 1, axis=1), 0)
    return nearest


def reached(run: Run, level: float) -> float:
    """Return the epoch at which validation accuracy reaches a level, infinity if never.

    Between two evaluations it is interpolated on a straight line.
    """
    epochs, values = record(run, "val/accuracy", over="epoch")
    at = next((place for place, value in enumerate(values) if value >= level), None)
    if at is None:
        return math.inf
    span = slice(max(at - 1, 0), at + 1)
    return float(np.interp(level, values[span], epochs[span]))


def _each(members: Sequence[Run], metric: str) -> FloatArray:
    return np.array([number(run, metric) for run in members])


def _gap(
    mine: Sequence[str],
    theirs: Sequence[str],
    *,
    val: Mapping[str, FloatArray],
    test: Mapping[str, FloatArray],
    names: Mapping[str, str],
    what: str,
) -> Quantity:
    """Return the difference of the best arms of two families, chosen anew in every draw."""

    def best(family: Sequence[str], seeds: Draw) -> str:
        return max(family, key=lambda arm: val[arm][seeds].mean())

    def gap(seeds: Draw) -> float:
        sides = [test[best(family, seeds)][seeds].mean() for family in (mine, theirs)]
        return float(sides[0] - sides[1])

    n = len(test[mine[0]])
    draws = np.random.default_rng(0).integers(n, size=(DRAWS, n))
    low, high = np.quantile([gap(seeds) for seeds in draws], (0.025, 0.975))
    every = np.arange(n)
    what = what.format(names[best(mine, every)])
    return Quantity(value=gap(every), low=float(low), high=float(high), n=n, what=what)


def _geometric(ratios: FloatArray, what: str) -> Quantity:
    """Return the geometric mean of a ratio a seed, with Student's t of the logarithms."""
    found = over_seeds(np.log(ratios), what)
    value, low, high = (float(np.exp(each)) for each in (found.value, *found.interval))
    return Quantity(value=value, low=low, high=high, n=found.n, what=what)
