"""Measures for any study: ratios, shares, spreads and counts over runs.

Each takes the sets of runs that it needs. A metric is ``<tag>`` or ``<tag>@<selector>``.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import sub, truediv
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import stats

from losslab.diagnostics import View, signal
from losslab.diagnostics.weight_curvature import CurvatureProducts, extreme_eigenvalues
from losslab.experiment.build import build
from losslab.figures import Drawing, Panel
from losslab.recording import Run
from losslab.report.estimates import recalls
from losslab.report.formatting import metric_name
from losslab.report.measurement import Measurement, Quantity, TableOfNumbers
from losslab.report.statistics import FloatArray
from losslab.seeding import generator
from losslab.study.measure import (
    Labels,
    Runs,
    curve_over_seeds,
    number,
    over_seeds,
    pairs,
    predictions,
    record,
    share,
    value_of,
)
from losslab.types import Batch

RESAMPLES = 2000
_PREDICT_FROM = 128  # training images


def paired(runs: Runs, *, quantities: Mapping[str, Mapping[str, Any]]) -> Measurement:
    """Measure numbers, or ratios or differences of two, seed by seed.

    ``quantities`` maps a name to ``what`` it is, ``left``, and optionally ``over`` or ``minus``,
    each a set and a metric.
    """
    measured = {}
    for name, spec in quantities.items():
        left, metric = spec["left"]
        values = [number(run, metric) for run in runs[left]]
        for key, combine in (("over", truediv), ("minus", sub)):
            if key in spec:
                right, other = spec[key]
                seeds = pairs(runs[left], runs[right])
                values = [combine(number(a, metric), number(b, other)) for a, b in seeds]
        measured[name] = over_seeds(values, spec["what"])
    return Measurement(quantities=measured)


def shares(
    runs: Runs, *, quantities: Mapping[str, Mapping[str, str]], metric: str = "test/accuracy"
) -> Measurement:
    """Measure the share of a gap that a change closes: mean(to − from) / mean(whole − from).

    ``quantities`` maps a name to ``what`` it is and the sets ``from``, ``to`` and ``whole``. The
    interval is from the bias-corrected bootstrap over seeds; runs of the same seed are drawn
    together. Without a gap there is no quantity.
    """
    measured = {}
    for name, spec in quantities.items():
        start, end, whole = (_numbers(runs[spec[key]], metric) for key in ("from", "to", "whole"))
        if np.mean(whole - start):
            measured[name] = _ratio(np.mean, end - start, whole - start, spec["what"])
    return Measurement(quantities=measured)


def _numbers(runs: Sequence[Run], metric: str) -> FloatArray:
    return np.array([number(run, metric) for run in runs])


def disagreement(runs: Runs) -> Measurement:
    """Measure the share of test examples that two runs of a set classify differently, on average.

    As pairs of runs are not independent, the interval is from a jackknife over runs, with
    Student's t.
    """
    what = "share of test examples on which two runs from different starts disagree"
    quantities = {}
    for name, members in runs.items():
        classes = np.array([predictions(run)[0].argmax(1).numpy() for run in members])
        n = len(members)
        differ = (classes[:, None] != classes).mean(axis=-1)
        mean = float(differ.sum() / (n * (n - 1)))
        half = 1.0  # a single pair of runs has no variance
        if n > 2:
            without = (differ.sum() - 2 * differ.sum(axis=1)) / ((n - 1) * (n - 2))
            error = math.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2))
            half = float(stats.t.ppf(0.975, n - 1)) * error
        low, high = max(0.0, mean - half), min(1.0, mean + half)
        quantities[name] = Quantity(value=mean, low=low, high=high, n=n, what=what)
    return Measurement(quantities=quantities)


def lost_classes(runs: Runs, *, labels: Labels = None, below: float = 0.01) -> Measurement:
    """Measure the share of runs in which some class has a test recall below ``below``.

    Runs lose a class by chance, so the interval is the exact binomial one (Clopper and Pearson
    1934). ``labels`` are used in the table.
    """
    what = f"share of runs in which some class's recall on the test part is below {below:g}"
    quantities, rows = {}, []
    for name, members in runs.items():
        n = len(members)
        lost = [count for run in members if (count := int((recalls_of(run) < below).sum()))]
        quantities[name] = share(len(lost), n, what)
        label = (labels or {}).get(name, name)
        rows.append([label, f"{len(lost)} of {n}", ", ".join(map(str, lost)) or "–"])
    table = TableOfNumbers(
        title=f"Runs that lost a class (recall below {below:.0%})",
        columns=["", "runs", "classes lost in each"],
        rows=rows,
    )
    return Measurement(quantities=quantities, tables=[table])


def recalls_of(run: Run) -> FloatArray:
    """Return a run's recall of each class on the test part, ``(K,)``."""
    logits, labels = (part.numpy() for part in predictions(run))
    correct: FloatArray = (logits.argmax(1) == labels).astype(np.float64)
    by_class: FloatArray = recalls(correct[None], labels)[0]
    return by_class


def time_to(
    runs: Runs, *, labels: Labels = None, tag: str = "val/accuracy", at_least: float = 0.9
) -> Measurement:
    """Measure when each set of runs first reaches a value, and its final accuracy.

    Quantities of a set, each a mean over its runs: ``<set>_seconds`` and ``<set>_epochs`` until the
    first evaluation with ``tag`` at ``at_least`` or above, infinite if a run has none;
    ``<set>_all``, seconds of the whole run; ``<set>_accuracy`` on the test part. Time starts at the
    first evaluation, with data and model on the device, and includes evaluations and logging. It is
    meaningful only for unstacked runs that did not share their device (``launcher=serial``).
    """
    quantities: dict[str, Quantity] = {}
    rows: list[list[str]] = []
    for name, members in runs.items():
        seconds, epochs = (
            np.array([_first(run, tag, at_least, over) for run in members])
            for over in ("wall_s", "epoch")
        )
        totals = [record(run, "test/accuracy", over="wall_s")[0][-1] for run in members]
        total = over_seeds(totals, "seconds of the whole run")
        accuracy = over_seeds(_numbers(members, "test/accuracy"), "accuracy on the test part")
        quantities |= {
            f"{name}_seconds": over_seeds(seconds, f"seconds to {tag} of {at_least:g}"),
            f"{name}_epochs": over_seeds(epochs, f"epochs to {tag} of {at_least:g}"),
            f"{name}_all": total,
            f"{name}_accuracy": accuracy,
        }
        reached = np.isfinite(seconds)
        label, count = (labels or {}).get(name, name), f"{reached.sum()} of {len(members)}"
        means = [f"{x[reached].mean():.1f}" if reached.any() else "–" for x in (seconds, epochs)]
        rows.append([label, f"{accuracy.value:.2%}", count, *means, f"{total.value:.1f}"])
    columns = ["", "test accuracy", "runs that reach it", "seconds", "epochs", "seconds in all"]
    table = TableOfNumbers(title=f"Time to {tag} of {at_least:g}", columns=columns, rows=rows)
    return Measurement(quantities=quantities, tables=[table])


def _first(run: Run, tag: str, at_least: float, over: str) -> float:
    """Return when a value was first large enough, infinity if never."""
    points = zip(*record(run, tag, over=over), strict=True)
    return next((place for place, value in points if value >= at_least), math.inf)


def rank_correlation(runs: Runs, *, x: str, y: str, labels: Labels = None) -> Measurement:
    """Measure whether sets with a larger ``x`` have a larger ``y``, and draw one against the other.

    ``correlation`` is Spearman's rank correlation over the sets of the means over seeds of two
    metrics. Its interval is from a percentile bootstrap over seeds, drawn together for all sets: it
    says how certain the ranks of these sets are, and nothing about other sets.
    """
    # (sets, 2, S)
    values = np.stack(
        [[_numbers(members, metric) for metric in (x, y)] for members in runs.values()]
    )
    n = values.shape[-1]

    def correlation(seeds: Any) -> float:
        ranks = stats.rankdata(values[..., seeds].mean(axis=-1), axis=0)
        return float(np.corrcoef(ranks.T)[0, 1])

    low, high = np.quantile([correlation(seeds) for seeds in _resamples(n)], (0.025, 0.975))
    names = metric_name(x), metric_name(y)
    quantity = Quantity(
        value=correlation(slice(None)),
        low=float(low),
        high=float(high),
        n=n,
        what=f"rank correlation of {names[0]} and {names[1]} over {len(runs)} sets",
    )
    rows, curves = [], []
    for (name, members), pair in zip(runs.items(), values, strict=True):
        label, (mean_x, mean_y) = (labels or {}).get(name, name), pair.mean(axis=-1)
        rows.append([label, f"{mean_x:.3f}", f"{mean_y:.4f}"])
        point = curve_over_seeds(
            label, [float(mean_x)], pair[1][:, None], loss=members[0].choices["loss"]
        )
        curves.append(replace(point, bars=True))
    title = f"{names[1].capitalize()} over {names[0]}"
    panel = Panel(title="", x_label=names[0], y_label=names[1], curves=curves)
    return Measurement(
        quantities={"correlation": quantity},
        tables=[TableOfNumbers(title=title, columns=["", *names], rows=rows)],
        drawings=[
            Drawing(
                name="rank_correlation",
                panels=[panel],
                legend_below=True,
                caption=f"{title}, means over seeds; bars: 95% intervals",
            )
        ],
    )


def chosen_ratio(runs: Runs, *, over: str, parameter: str = "optimizer.lr") -> Measurement:
    """Measure each set's chosen value divided by that of the set ``over``, without intervals."""
    chosen = {name: float(value_of(members[0], parameter)) for name, members in runs.items()}
    reference, quantities = chosen.pop(over), {}
    for name, value in chosen.items():
        what = f"chosen {parameter} ({value:g}) over that of {over} ({reference:g})"
        quantities[name] = Quantity(value=value / reference, n=len(runs[name]), what=what)
    return Measurement(quantities=quantities)


def spread_ratio(runs: Runs, *, over: str, tag: str) -> Measurement:
    """Measure each set's standard deviation over seeds divided by that of the set ``over``.

    The interval is from the bias-corrected bootstrap over seeds (Efron 1987, SciPy's ``BCa``); runs
    of the same seed are drawn together. For five seeds or fewer it is (−∞, ∞).
    """
    values = {name: _numbers(members, tag) for name, members in runs.items()}
    reference, spread, quantities = values.pop(over), partial(np.std, ddof=1), {}
    for name, numbers in values.items():
        what = f"standard deviation of {tag} over seeds, {name} over {over}"
        quantities[name] = _ratio(spread, numbers, reference, what)
    return Measurement(quantities=quantities)


def slowdown(
    runs: Runs, *, against: str, level: float, metric: str = "test/accuracy", labels: Labels = None
) -> Measurement:
    """Measure how much longer an arm must train to reach a level than the arm ``against``.

    Each set is an arm at one length of training, ``<arm>@<condition>``. Between lengths the mean
    over seeds is interpolated over log epochs. The interval is from a percentile bootstrap over
    seeds, drawn together for all sets. An arm has no quantity if its longest training does not
    reach the level, or its shortest already does.
    """
    arms = _by_length(runs, metric, labels)
    reference, target = arms[against], f"to a {metric_name(metric)} of {level:.0%}"
    quantities, rows = {}, []
    for name, arm in arms.items():
        epochs = _first_reach(arm, level)
        rows.append([arm.label, f"{epochs:.3g}" if math.isfinite(epochs) else "–"])
        value = epochs / _first_reach(reference, level)
        if name == against or not math.isfinite(value):
            continue
        n = arm.values.shape[1]
        ratios = [
            _first_reach(arm, level, seeds) / _first_reach(reference, level, seeds)
            for seeds in _resamples(n)
        ]
        # A draw that never reaches the level takes longer than any.
        known = np.nan_to_num(ratios, nan=np.inf)
        low, high = np.quantile(known, (0.025, 0.975), method="inverted_cdf")
        what = f"epochs {target} over those of {reference.label}"
        quantities[name] = Quantity(value=value, low=float(low), high=float(high), n=n, what=what)
    table = TableOfNumbers(title=f"Epochs {target}", columns=["", "epochs"], rows=rows)
    return Measurement(quantities=quantities, tables=[table])


def rescaled(
    runs: Runs, *, against: str, metric: str = "test/accuracy", labels: Labels = None
) -> Measurement:
    """Measure the gap that remains if each arm trains for its predicted time.

    The prediction is made at initialisation from 128 training images. The speed of an arm is its
    signal (:func:`losslab.diagnostics.signal`) divided by λ, the largest eigenvalue of the Hessian,
    as the largest stable rate of SGD is proportional to 1/λ. It assumes the same optimizer and
    momentum for all arms.

    Quantities of each arm:

    - ``<arm>_time``: the mean speed of ``against`` over that of the arm, with a bootstrap
      interval over seeds;
    - ``<arm>_gap``: its metric after ``<arm>_time`` · e epochs minus that of ``against`` after e
      epochs, averaged over the lengths e of ``against``. The metric is interpolated over log epochs
      between two lengths of the arm; e for which this is impossible are left out. The interval is
      over seeds, for a fixed predicted time.

    Args:
        runs: As for :func:`slowdown`, all with the same seeds.
        against: The arm to compare with.
        metric: A final metric.
        labels: Set to label.
    """
    arms = _by_length(runs, metric, labels)
    speeds = {name: np.array([_speed(run) for run in arm.runs]) for name, arm in arms.items()}
    reference, metric = arms[against], metric_name(metric)
    quantities, rows, trained, moved = {}, [], [], []
    for name, arm in arms.items():
        time = float(speeds[against].mean() / speeds[name].mean())
        style: dict[str, Any] = {"label": arm.label, "loss": arm.runs[0].choices["loss"]}
        trained.append(curve_over_seeds(x=list(arm.epochs), values=arm.values.T, **style))
        if time > 0:
            x = list(arm.epochs / time)
            moved.append(curve_over_seeds(x=x, values=arm.values.T, **style))
        if name == against:
            continue
        what = f"predicted epochs over those of {reference.label}"
        quantities[f"{name}_time"] = predicted = _ratio(
            np.mean, speeds[against], speeds[name], what
        )
        low, high = predicted.interval
        row = [arm.label, f"{time:.2g} [{low:.2g}, {high:.2g}]", "–", "–"]
        epochs = reference.epochs * time
        known = (epochs >= arm.epochs[0]) & (epochs <= arm.epochs[-1])
        if known.any():
            places = np.log(epochs[known]), np.log(arm.epochs)
            values = np.stack([np.interp(*places, seed) for seed in arm.values.T], axis=1)
            what = f"{metric} minus that of {reference.label}, after the predicted times"
            gap = over_seeds((values - reference.values[known]).mean(axis=0), what)
            quantities[f"{name}_gap"] = gap
            mean, low, high = (100 * number for number in (gap.value, *gap.interval))
            row[2:] = [", ".join(f"{e:g}" for e in reference.epochs[known])]
            row += [f"{mean:.1f} [{low:.1f}, {high:.1f}]"]
        rows.append(row)
    shown: dict[str, Any] = {"y_label": f"{metric} (%)", "x_log": True, "percent": "shown"}
    panels = [
        Panel(title="As trained", x_label="epochs", curves=trained, ticks="values", **shown),
        Panel(
            title="Over rescaled time",
            curves=moved,
            **shown,
            x_label=f"epochs / predicted time relative to {reference.label}",
        ),
    ]
    caption = (
        f"{metric.capitalize()} over the epochs trained, and over epochs divided by how many times "
        f"as long as {reference.label} each should take by signal and curvature before training"
    )
    columns = ["", "times as long, predicted", f"epochs of {reference.label}", "gap then (points)"]
    drawing = Drawing(name="rescaled", caption=caption, panels=panels, share="y", legend_below=True)
    table = TableOfNumbers(title="Predicted time", columns=columns, rows=rows)
    return Measurement(quantities=quantities, tables=[table], drawings=[drawing])


def _speed(run: Run) -> float:
    """Return signal / largest eigenvalue of the Hessian at a run's initial weights."""
    parts = build(run.composed)
    parts.move()
    tensors = parts.dataset.tensors("train")
    probe = Batch(*(tensor[:_PREDICT_FROM].to(parts.device) for tensor in tensors))
    model = parts.model.train()
    view = View(model=model, objective=parts.objective, probe=probe, initial={}, recorded={})
    products = CurvatureProducts(view, _PREDICT_FROM)
    start = generator(0, "weight_curvature")
    signs = 2.0 * torch.randint(2, (products.size,), generator=start).numpy() - 1.0
    values = extreme_eigenvalues(products.hessian, signs, count=1)
    return math.nan if values is None else signal(view) / float(values[-1])


class _Arm(NamedTuple):
    """An arm at several lengths of training."""

    label: str
    runs: Sequence[Run]  # of the first length given
    epochs: FloatArray  # ``(L,)``, ascending
    values: FloatArray  # ``(L, S)``, the metric


def _by_length(runs: Runs, metric: str, labels: Labels) -> dict[str, _Arm]:
    """Return the arms by name, given sets of names ``<arm>@<condition>``."""
    sets: dict[str, dict[float, str]] = {}  # arm to length to set
    for name, members in runs.items():
        sets.setdefault(name.partition("@")[0], {})[number(members[0], "epoch")] = name
    arms = {}
    for arm, by_length in sets.items():
        first, epochs = next(iter(by_length.values())), sorted(by_length)
        # A label ends with its condition's.
        label = (labels or {}).get(first, f"{arm}, ").rpartition(", ")[0]
        values = np.stack([_numbers(runs[by_length[length]], metric) for length in epochs])
        arms[arm] = _Arm(label, runs[first], np.array(epochs), values)
    return arms


def _first_reach(arm: _Arm, level: float, seeds: Any = slice(None)) -> float:
    """Return the length at which the mean over seeds reaches a level, NaN outside the range."""
    means = arm.values[:, seeds].mean(axis=1)
    reached = int(np.argmax(means >= level))
    if means[reached] < level or reached == 0:
        return math.nan
    ends = slice(reached - 1, reached + 1)
    return float(np.exp(np.interp(level, means[ends], np.log(arm.epochs)[ends])))


def _resamples(n: int) -> Any:
    """Return indices of seeds drawn with replacement, ``(RESAMPLES, n)``."""
    return np.random.default_rng(0).integers(n, size=(RESAMPLES, n))


def _ratio(statistic: Callable[..., Any], a: FloatArray, b: FloatArray, what: str) -> Quantity:
    """Return the ratio of a statistic of two samples of the same seeds, with bootstrap interval.

    The interval is (−∞, ∞) where the bootstrap has none: for a single seed, and for spreads over so
    few that some draws hold only one seed, which has no spread.
    """

    def ratio(a: FloatArray, b: FloatArray, axis: int = -1) -> Any:
        return statistic(a, axis=axis) / statistic(b, axis=axis)

    options = {"n_resamples": RESAMPLES, "method": "BCa", "rng": np.random.default_rng(0)}
    low, high = -math.inf, math.inf
    # Both warn of a ratio or an interval that does not exist.
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = float(ratio(a, b))
        if len(a) > 1:
            found = stats.bootstrap((a, b), ratio, paired=True, vectorized=True, **options)
            # BCa cannot handle draws that are all equal.
            if np.ptp(found.bootstrap_distribution) <= 1e-12 * abs(value):
                low = high = value
            elif not np.isnan(found.confidence_interval).any():
                low, high = map(float, found.confidence_interval)
    return Quantity(value=value, low=low, high=high, n=len(a), what=what)
