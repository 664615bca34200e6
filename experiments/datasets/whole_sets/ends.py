"""Where losses end on one data set, with the best of their variants: when, how calibrated."""

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
    families: Mapping[str, Sequence[str]],
    level: float,
    targets: Mapping[str, float],
    labels: Mapping[str, str],
) -> Measurement:
    """Measure under one condition the best arm of each family beside that of the first.

    The best is that of the highest mean validation accuracy over the confirming seeds, the first of
    equals. Quantities of a family:

    - ``<family>_gap``: its test accuracy minus that of the first family, by a percentile bootstrap
      over seeds in which both arms are chosen anew. Of all else the choice is taken as given.
    - ``<family>_slower``: epochs to ``level`` over those of the first, a geometric mean over seeds.
    - ``<family>_softmax``, ``_temperature``, ``_simplex``: expected calibration error (ECE) on the
      test part with probabilities read by softmax, by softmax with a temperature fitted on
      validation, and, of raw outputs divided by their target, by projection to the simplex; each
      with ``_gap``, minus that of the first, by softmax where that has no target.
    - ``<family>_probe``: accuracy of the diagnostic ``linear_probe``; ``_probe_gap`` likewise.

    Args:
        runs: Confirming runs of arms, ``<arm>@<condition>``, all with the same seeds.
        families: Name to arms; the first is what the others are compared with.
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
    first, *_ = families.values()
    quantities: dict[str, Quantity] = {}
    rows: list[list[str]] = []
    reference: dict[str, FloatArray] = {}
    slow: FloatArray = np.empty(0)
    for family, variants in families.items():
        arm = _best(variants, parts["val"])
        members = arms[arm]
        epochs = np.array([reached(run, level) for run in members])
        numbers = _readings(members, targets.get(arm))
        numbers["probe"] = _each(members, "why/linear_probe/accuracy")
        found = {
            how: over_seeds(each, _WHAT[how].format(names[arm])) for how, each in numbers.items()
        }
        quantities |= {f"{family}_{how}": quantity for how, quantity in found.items()}
        if not reference:
            reference, slow, against = numbers, epochs, names[arm]
        else:
            about = f"test accuracy of {names[arm]} minus that of {against}, chosen on validation"
            quantities[f"{family}_gap"] = _gap(variants, first, **parts, what=about)
            for how, each in numbers.items():
                what = f"{_WHAT[how].format(names[arm])}, minus that of {against}"
                less = each - reference.get(how, reference["softmax"])
                quantities[f"{family}_{how}_gap"] = over_seeds(less, what)
            if np.isfinite(slow).all():
                what = (
                    f"epochs to a validation accuracy of {level:.0%}, {names[arm]} over {against}"
                )
                quantities[f"{family}_slower"] = _geometric(epochs / slow, what)
        came = epochs[np.isfinite(epochs)]
        rows.append([family, names[arm], f"{parts['test'][arm].mean():.2%}"])
        rows[-1] += [f"{came.mean():.1f}" if len(came) else "–", f"{len(came)} of {len(members)}"]
        rows[-1] += [f"{found[how].value:.2%}" if how in found else "–" for how in _WHAT]
    table = TableOfNumbers(
        title=f"At the end of training, {labels[next(iter(runs))].rpartition(', ')[2]}",
        columns=[
            *("family", "best on validation", "test accuracy"),
            *(f"epochs to {level:.0%} on validation", "runs that get there"),
            *(what.partition(" of {}")[0] + what.partition(" of {}")[2] for what in _WHAT.values()),
        ],
        rows=rows,
    )
    return Measurement(quantities=quantities, tables=[table])


_WHAT = {
    "softmax": "ECE of {}, softmax",
    "temperature": "ECE of {}, temperature",
    "simplex": "ECE of {}, simplex",
    "probe": "accuracy of a probe of {}",
}


def _readings(members: Sequence[Run], target: float | None) -> dict[str, FloatArray]:
    """Return the calibration errors ``(S,)`` of an arm, by how its outputs are read."""
    given = [tuple(part.numpy() for part in predictions(run)) for run in members]
    read = {
        "softmax": np.array([float(ece(logits, y)) for logits, y in given]),
        "temperature": _each(members, "why/calibration/ece_scaled"),
    }
    if target is not None:
        with np.errstate(divide="ignore"):  # softmax of the logarithms is what is projected
            projected = [(np.log(on_simplex(logits / target)), y) for logits, y in given]
        read["simplex"] = np.array([float(ece(logits, y)) for logits, y in projected])
    return read


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


def _best(family: Sequence[str], val: Mapping[str, FloatArray], seeds: Draw | None = None) -> str:
    """Return the arm of the highest mean validation accuracy, over some of the seeds."""
    every = slice(None) if seeds is None else seeds
    return max(family, key=lambda arm: val[arm][every].mean())


def _gap(
    mine: Sequence[str],
    theirs: Sequence[str],
    *,
    val: Mapping[str, FloatArray],
    test: Mapping[str, FloatArray],
    what: str,
) -> Quantity:
    """Return the difference of the best arms of two families, chosen anew in every draw."""

    def gap(seeds: Draw) -> float:
        sides = [test[_best(family, val, seeds)][seeds].mean() for family in (mine, theirs)]
        return float(sides[0] - sides[1])

    n = len(test[mine[0]])
    draws = np.random.default_rng(0).integers(n, size=(DRAWS, n))
    low, high = np.quantile([gap(seeds) for seeds in draws], (0.025, 0.975))
    every = np.arange(n)
    return Quantity(value=gap(every), low=float(low), high=float(high), n=n, what=what)


def _geometric(ratios: FloatArray, what: str) -> Quantity:
    """Return the geometric mean of a ratio a seed, with Student's t of the logarithms."""
    found = over_seeds(np.log(ratios), what)
    value, low, high = (float(np.exp(each)) for each in (found.value, *found.interval))
    return Quantity(value=value, low=low, high=high, n=found.n, what=what)
