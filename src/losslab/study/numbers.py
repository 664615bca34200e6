"""Measures for any study: ratios, shares, spreads and counts over runs.

Each takes the sets of runs that it needs. A metric is ``<tag>`` or ``<tag>@<selector>``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import sub, truediv
from typing import Any

import numpy as np
import torch
from scipy import stats

from losslab.diagnostics import View, signal
from losslab.diagnostics.weight_curvature import CurvatureProducts, extreme_eigenvalues
from losslab.experiment.build import build
from losslab.figures import Curve, Drawing, Panel
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
    for name, about in quantities.items():
        values = [number(run, about["left"][1]) for run in runs[about["left"][0]]]
        for how, combine in (("over", truediv), ("minus", sub)):
            if how in about:
                (left, metric), (right, other) = about["left"], about[how]
                both = pairs(runs[left], runs[right])
                values = [combine(number(a, metric), number(b, other)) for a, b in both]
        measured[name] = over_seeds(values, about["what"])
    return Measurement(quantities=measured)


def shares(
    runs: Runs, *, quantities: Mapping[str, Mapping[str, str]], metric: str = "test/accuracy"
) -> Measurement:
    """Measure the share of a gap that a change closes: mean(to − from) / mean(whole − from).

    ``quantities`` maps a name to ``what`` it is and the sets ``from``, ``to`` and ``whole``. The
    interval is that of the bias-corrected bootstrap over seeds; runs of the same seed are drawn
    together. Where there is no gap there is no quantity.
    """
    measured = {}
    for name, about in quantities.items():
        start, end, whole = (_numbers(runs[about[key]], metric) for key in ("from", "to", "whole"))
        if np.mean(whole - start):
            measured[name] = _ratio(np.mean, end - start, whole - start, about["what"])
    return Measurement(quantities=measured)


def _numbers(runs: Sequence[Run], metric: str) -> FloatArray:
    return np.array([number(run, metric) for run in runs])


def disagreement(runs: Runs) -> Measurement:
    """Measure the share of test examples that two runs of a set classify differently, on average.

    As pairs of runs are not independent, the interval is the jackknife's over runs, with Student's
    t.
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

    Which runs lose a class is chance, so the interval is the exact binomial one (Clopper and
    Pearson 1934). ``labels`` are used in the table.
    """
    what = f"share of runs in which some class's recall on the test part is below {below:g}"
    quantities, rows = {}, []
    for name, members in runs.items():
        n = len(members)
        found = [int((recalls_of(run) < below).sum()) for run in members]
        lost = [classes for classes in found if classes]
        quantities[name] = share(len(lost), n, what)
        label = (labels or {}).get(name, name)
        rows.append([label, f"{len(lost)} of {n}", ", ".join(map(str, lost)) or "–"])
    title = f"Runs that lost a class (recall below {below:.0%})"
    columns = ["", "runs", "classes lost in each"]
    table = TableOfNumbers(title=title, columns=columns, rows=rows)
    return Measurement(quantities=quantities, tables=[table])


def recalls_of(run: Run) -> FloatArray:
    """Return a run's recall of each class on the test part, ``(K,)``."""
    logits, labels = (part.numpy() for part in predictions(run))
    right: FloatArray = (logits.argmax(1) == labels).astype(np.float64)
    each: FloatArray = recalls(right[None], labels)[0]
    return each


def time_to(
    runs: Runs, *, labels: Labels = None, tag: str = "val/accuracy", at_least: float = 0.9
) -> Measurement:
    """Measure when each set of runs first reaches a value, and its final accuracy.

    Quantities of a set, each a mean over its runs: ``<set>_seconds`` and ``<set>_epochs`` until the
    first evaluation with ``tag`` at ``at_least`` or above, infinite if a run has none;
    ``<set>_all``, seconds of the whole run; ``<set>_accuracy`` on the test part. Time starts at the
    first evaluation, with data and model on the device, and includes evaluations and logging. It is
    meaningful only for unstacked runs that had their device alone (``launcher=serial``).
    """
    quantities: dict[str, Quantity] = {}
    rows: list[list[str]] = []
    for name, members in runs.items():
        first = {over: [_first(run, tag, at_least, over) for run in members] for over in _OVER}
        every = [record(run, "test/accuracy", over="wall_s")[0][-1] for run in members]
        accuracies = _numbers(members, "test/accuracy")
        numbers = {
            "seconds": over_seeds(first["wall_s"], f"seconds to {tag} of {at_least:g}"),
            "epochs": over_seeds(first["epoch"], f"epochs to {tag} of {at_least:g}"),
            "all": over_seeds(every, "seconds of the whole run"),
            "accuracy": over_seeds(accuracies, "accuracy on the test part"),
        }
        quantities |= {f"{name}_{what}": quantity for what, quantity in numbers.items()}
        reached = [i for i, seconds in enumerate(first["wall_s"]) if math.isfinite(seconds)]
        means = [np.mean([first[over][i] for i in reached]) if reached else None for over in _OVER]
        seconds, epochs = ("–" if mean is None else f"{mean:.1f}" for mean in means)
        label, count = (labels or {}).get(name, name), f"{len(reached)} of {len(members)}"
        accuracy, everything = numbers["accuracy"].value, numbers["all"].value
        rows.append([label, f"{accuracy:.2%}", count, seconds, epochs, f"{everything:.1f}"])
    columns = ["", "test accuracy", "runs that reach it", "seconds", "epochs", "seconds in all"]
    title = f"Time to {tag} of {at_least:g}"
    table = TableOfNumbers(title=title, columns=columns, rows=rows)
    return Measurement(quantities=quantities, tables=[table])


_OVER = ("wall_s", "epoch")


def _first(run: Run, tag: str, at_least: float, over: str) -> float:
    """Return when a value was first large enough, infinity if never."""
    places, values = record(run, tag, over=over)
    found = (place for place, value in zip(places, values, strict=True) if value >= at_least)
    return next(found, math.inf)


def rank_correlation(runs: Runs, *, x: str, y: str, labels: Labels = None) -> Measurement:
    """Measure whether sets with a larger ``x`` have a larger ``y``, and draw one against the other.

    ``correlation`` is Spearman's rank correlation over the sets of the means over seeds of two
    metrics. Its interval is the percentile bootstrap's over seeds, which are drawn together for all
    sets: it says how sure the ranks of these sets are, nothing of other sets.
    """
    # (sets, 2, S)
    values = np.stack(
        [[_numbers(members, metric) for metric in (x, y)] for members in runs.values()]
    )
    n = values.shape[-1]

    def correlation(index: Any) -> float:
        ranks = stats.rankdata(values[..., index].mean(axis=-1), axis=0)
        return float(np.corrcoef(ranks.T)[0, 1])

    draws = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
    low, high = np.quantile([correlation(index) for index in draws], (0.025, 0.975))
    names = metric_name(x), metric_name(y)
    found = Quantity(
        value=correlation(slice(None)),
        low=float(low),
        high=float(high),
        n=n,
        what=f"rank correlation of {names[0]} and {names[1]} over {len(runs)} sets",
    )
    rows, curves = [], []
    for (name, members), each in zip(runs.items(), values, strict=True):
        label, (mean_x, mean_y) = (labels or {}).get(name, name), each.mean(axis=-1)
        spread = over_seeds(each[1], names[1])
        rows.append([label, f"{mean_x:.3f}", f"{mean_y:.4f}"])
        curves.append(
            Curve(
                label=label,
                loss=members[0].choices["loss"],
                x=[float(mean_x)],
                y=[spread.value],
                low=[spread.interval.low],
                high=[spread.interval.high],
                bars=True,
            )
        )
    title = f"{names[1].capitalize()} over {names[0]}"
    panel = Panel(title="", x_label=names[0], y_label=names[1], curves=curves)
    return Measurement(
        quantities={"correlation": found},
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

    The interval is the bias-corrected bootstrap's over seeds (Efron 1987, SciPy's ``BCa``); runs
    of the same seed are drawn together.
    """
    values = {name: _numbers(each, tag) for name, each in runs.items()}
    reference, spread, quantities = values.pop(over), partial(np.std, ddof=1), {}
    for name, mine in values.items():
        what = f"standard deviation of {tag} over seeds, {name} over {over}"
        quantities[name] = _ratio(spread, mine, reference, what)
    return Measurement(quantities=quantities)


def slowdown(
    runs: Runs, *, against: str, level: float, metric: str = "test/accuracy", labels: Labels = None
) -> Measurement:
    """Measure how much longer an arm must train to reach a level than the arm ``against``.

    Each set is an arm at one length of training, ``<arm>@<condition>``. Between lengths the mean
    over seeds is interpolated over log epochs. The interval is the percentile bootstrap's over
    seeds, drawn together for all sets. An arm has no quantity if its longest training does not
    reach the level, or its shortest does already.
    """
    lengths, names = _by_length(runs, metric, labels)
    rows, quantities, of = [], {}, metric_name(metric)
    for arm, mine in lengths.items():
        other = lengths[against]
        epochs = _first_reach(*mine, level)
        rows.append([names[arm], f"{epochs:.3g}" if math.isfinite(epochs) else "–"])
        if arm == against:
            continue

        def ratio(index: Any, mine: _Lengths = mine, other: _Lengths = other) -> float:
            reached = [_first_reach(x, y[:, index], level) for x, y in (mine, other)]
            return reached[0] / reached[1]

        if not math.isfinite(value := ratio(slice(None))):
            continue
        n = mine[1].shape[1]
        draws = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
        # A draw that never reaches the level takes longer than any.
        drawn = np.nan_to_num([ratio(index) for index in draws], nan=np.inf)
        low, high = np.quantile(drawn, (0.025, 0.975), method="inverted_cdf")
        what = f"epochs to a {of} of {level:.0%} over those of {names[against]}"
        quantities[arm] = Quantity(value=value, low=float(low), high=float(high), n=n, what=what)
    table = TableOfNumbers(
        title=f"Epochs to a {of} of {level:.0%}", columns=["", "epochs"], rows=rows
    )
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

    - ``<arm>_time``: the mean speed of ``against`` over that of the arm, with the bootstrap's
      interval over seeds;
    - ``<arm>_gap``: its metric after ``<arm>_time`` · e epochs less that of ``against`` after e
      epochs, averaged over the lengths e of ``against``. The metric is interpolated over log epochs
      between two lengths of the arm; e for which this is impossible are left out. The interval is
      over seeds, for a fixed predicted time.

    Args:
        runs: As for :func:`slowdown`, all with the same seeds.
        against: The arm to compare with.
        metric: A final metric.
        labels: Set to label.
    """
    lengths, names = _by_length(runs, metric, labels)
    speeds = {}
    for name, members in runs.items():
        if (arm := name.partition("@")[0]) not in speeds:
            speeds[arm] = np.array([_speed(run) for run in members])
    epochs, theirs = lengths[against]
    quantities, rows, whole, moved = {}, [], [], []
    for arm, (mine, values) in lengths.items():
        time = float(speeds[against].mean() / speeds[arm].mean())
        look: dict[str, Any] = {"label": names[arm], "loss": _loss_of(runs, arm)}
        whole.append(curve_over_seeds(x=list(mine), values=values.T, **look))
        if time > 0:
            moved.append(curve_over_seeds(x=list(mine / time), values=values.T, **look))
        if arm == against:
            continue
        what = f"predicted epochs over those of {names[against]}"
        quantities[f"{arm}_time"] = predicted = _ratio(np.mean, speeds[against], speeds[arm], what)
        known = (epochs * time >= mine[0]) & (epochs * time <= mine[-1])
        low, high = predicted.interval
        row = [names[arm], f"{time:.2g} [{low:.2g}, {high:.2g}]", "–", "–"]
        if known.any():
            at = np.log(epochs[known] * time)
            there = np.stack([np.interp(at, np.log(mine), seed) for seed in values.T], axis=1)
            what = f"{metric_name(metric)} less that of {names[against]}, after the predicted times"
            gap = over_seeds((there - theirs[known]).mean(axis=0), what)
            quantities[f"{arm}_gap"] = gap
            mean, lowest, highest = (100 * each for each in (gap.value, *gap.interval))
            row[2:] = [", ".join(f"{e:g}" for e in epochs[known])]
            row += [f"{mean:.1f} [{lowest:.1f}, {highest:.1f}]"]
        rows.append(row)
    of = metric_name(metric)
    shown: dict[str, Any] = {"y_label": f"{of} (%)", "x_log": True, "percent": "shown"}
    panels = [
        Panel(title="As trained", x_label="epochs", curves=whole, ticks="values", **shown),
        Panel(
            title="Over rescaled time",
            curves=moved,
            **shown,
            x_label=f"epochs / predicted time relative to {names[against]}",
        ),
    ]
    caption = (
        f"{of.capitalize()} over the epochs trained, and over epochs divided by how many times as "
        f"long as {names[against]} each should take by signal and curvature before training"
    )
    columns = ["", "times as long, predicted", f"epochs of {names[against]}", "gap then (points)"]
    table = TableOfNumbers(title="Predicted time", columns=columns, rows=rows)
    drawing = Drawing(name="rescaled", caption=caption, panels=panels, share="y", legend_below=True)
    return Measurement(quantities=quantities, tables=[table], drawings=[drawing])


def _speed(run: Run) -> float:
    """Return signal / largest eigenvalue of the Hessian at a run's initial weights."""
    parts = build(run.composed)
    parts.move()
    given = (part[:_PREDICT_FROM].to(parts.device) for part in parts.dataset.tensors("train"))
    model, probe = parts.model.train(), Batch(*given)
    view = View(model=model, objective=parts.objective, probe=probe, initial={}, recorded={})
    products = CurvatureProducts(view, _PREDICT_FROM)
    start = generator(0, "weight_curvature")
    signs = 2.0 * torch.randint(2, (products.size,), generator=start).numpy() - 1.0
    values = extreme_eigenvalues(products.hessian, signs, count=1)
    return math.nan if values is None else signal(view) / float(values[-1])


def _loss_of(runs: Runs, arm: str) -> str:
    """Return the config name of an arm's loss."""
    return next(m[0].choices["loss"] for name, m in runs.items() if name.partition("@")[0] == arm)


_Lengths = tuple[FloatArray, FloatArray]


def _by_length(
    runs: Runs, metric: str, labels: Labels
) -> tuple[dict[str, _Lengths], dict[str, str]]:
    """Return, by arm, ascending lengths ``(L,)`` with the metric ``(L, S)``; and labels."""
    arms: dict[str, dict[float, FloatArray]] = {}
    names: dict[str, str] = {}
    for name, members in runs.items():
        arm = name.partition("@")[0]
        # A label ends with its condition's.
        names.setdefault(arm, (labels or {}).get(name, f"{arm}, ").rpartition(", ")[0])
        arms.setdefault(arm, {})[number(members[0], "epoch")] = _numbers(members, metric)
    orders = {arm: sorted(lengths) for arm, lengths in arms.items()}
    return {
        arm: (np.array(order), np.stack([arms[arm][length] for length in order]))
        for arm, order in orders.items()
    }, names


def _first_reach(lengths: FloatArray, values: FloatArray, level: float) -> float:
    """Return the length at which the mean over seeds reaches a level, NaN outside the range."""
    means = values.mean(axis=1)
    reached = int(np.argmax(means >= level))
    if means[reached] < level or reached == 0:
        return math.nan
    ends, span = slice(reached - 1, reached + 1), np.log(lengths)
    return float(np.exp(np.interp(level, means[ends], span[ends])))


def _ratio(of: Callable[..., Any], a: FloatArray, b: FloatArray, what: str) -> Quantity:
    """Return the ratio of a statistic of two samples of the same seeds, with bootstrap interval."""

    def ratio(a: FloatArray, b: FloatArray, axis: int = -1) -> Any:
        return of(a, axis=axis) / of(b, axis=axis)

    if not a.any():  # so it is in every resample, which BCa cannot handle
        return Quantity(value=0.0, low=0.0, high=0.0, n=len(a), what=what)
    how = {"n_resamples": RESAMPLES, "method": "BCa", "rng": np.random.default_rng(0)}
    found = stats.bootstrap((a, b), ratio, paired=True, vectorized=True, **how)
    low, high = map(float, found.confidence_interval)
    return Quantity(value=float(ratio(a, b)), low=low, high=high, n=len(a), what=what)
