"""Edges against predictions: slopes, ratios and shares over cells, with figures and a table."""

import hashlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from edge import search
from edge.search import (
    FRACTIONS,
    LATER,
    Cell,
    Found,
    predicted,
)
from losslab.figures import Curve, Drawing, Panel, Style
from losslab.figures.styles import GREY, styles_of
from losslab.report.measurement import Measurement, Quantity, TableOfNumbers
from losslab.report.statistics import FloatArray, binomial_interval, t_interval
from losslab.study.measure import Runs, over_seeds

LABELS = {
    "cross_entropy": "cross-entropy",
    "mse": "squared error, raw outputs",
    "rescaled_mse": "squared error, raw outputs, target M = 15",
    "mse_softmax": "squared error after softmax, mean",
    "squentropy": "squentropy",
    "multiclass_hinge": "multi-class hinge",
}
# Names of line styles: evidence.json has no tuples.
STYLES = {n: s._replace(line="-") for n, s in styles_of({name: name for name in LABELS}).items()}
MARKERS = {0.0: "o", 0.9: "^"}
WITHIN = 2.0
RESAMPLES = 2000


def controls(
    _: Runs,
    *,
    seeds: Sequence[int],
    steps: int,
    workers: int,
    cache: str | None,
    losses: Sequence[str],
) -> Measurement:
    """Measure the edge where theory is exact, and take its conditions away one at a time.

    A linear model under squared error on raw outputs, by gradient descent on all images, is a
    quadratic; then batches in place of all images; then the network; then both.

    Returns:
        ``<loss>_<linear|network>_<full|batches>_<β>``: edge over 2(1 + β)/λ, geometric mean over
        seeds.
    """
    cells = [
        Cell(loss=loss, num_classes=10, momentum=momentum, linear=linear, full=full)
        for loss in losses
        for linear, full in ((True, True), (True, False), (False, True))
        for momentum in MARKERS
    ]
    quantities = {}
    for found in _each(cells, workers=workers, cache=cache, seeds=list(seeds), steps=steps):
        cell = found.cell
        model, data = ("network", "linear")[cell.linear], ("batches", "full")[cell.full]
        about = f"{LABELS[cell.loss]}, {model}, {data}, K = 10, β = {cell.momentum:g}"
        values = np.divide(found.edge, _start(found))
        name = f"{cell.loss}_{model}_{data}_{cell.momentum:g}".replace(".", "")
        quantities[name] = geometric(values, f"edge over 2(1 + β)/λ at the start, {about}")
    return Measurement(quantities=quantities, tables=[_short_table(quantities)])


def _short_table(quantities: Mapping[str, Quantity]) -> TableOfNumbers:
    rows = []
    for about in quantities.values():
        text = f"{about.value:.3g} [{about.low:.3g}, {about.high:.3g}]"
        text = "no edge found" if math.isnan(about.value) else text
        rows.append([about.what.partition(", ")[2], text])
    return TableOfNumbers(
        title="Edge over 2(1 + β)/λ, one condition of the theory after another taken away",
        columns=["", "ratio"],
        rows=rows,
    )


def edges(
    _: Runs,
    *,
    seeds: Sequence[int],
    steps: int,
    threshold: float,
    longest: int,
    workers: int,
    cache: str | None,
    losses: Sequence[str],
    num_classes: Mapping[str, Sequence[int]],
    momenta: Sequence[float],
) -> Measurement:
    """Measure all cells and compare them with what was predicted.

    Args:
        seeds: Of initial weights and batches.
        steps: Of a training that is stable or not.
        threshold: Accuracy on the training batches, to which steps are counted.
        longest: Steps after which it counts as not reached.
        workers: Processes.
        cache: As of :func:`_each`.
        losses: Of :data:`~edge.search.LOSSES`.
        num_classes: Of each normalization, ``none`` and ``batch``.
        momenta: β.

    Returns:
        For each group of cells, ``none``, ``batch``, and ``plain`` and ``momentum`` (those of
        ``none`` without and with): see :func:`_compared`, with λ at the start, and as
        ``<group>_along`` with the largest λ while training at a tenth of the edge.
        ``<normalization>_momentum``: the edge with momentum over that without;
        ``<normalization>_at_edge``: λ at the end of training at the edge, times rate/(2(1 + β)).
        ``k_<loss>``: the slope of log edge over log K. ``best_...`` and ``time_...``: see
        :func:`_speed`.
    """
    cells = [
        Cell(loss=loss, num_classes=k, momentum=momentum, normalization=normalization)
        for normalization, classes in num_classes.items()
        for k, momentum, loss in itertools.product(classes, momenta, losses)
    ]
    every = _each(
        cells,
        workers=workers,
        cache=cache,
        seeds=list(seeds),
        steps=steps,
        threshold=threshold,
        longest=longest,
    )
    found = [each for each in every if math.isfinite(_edge(each))]
    quantities = {
        "found": share([math.isfinite(_edge(each)) for each in every], "cells with a stable rate")
    }
    groups = {
        "none": [each for each in found if each.cell.normalization == "none"],
        "batch": [each for each in found if each.cell.normalization == "batch"],
    }
    groups |= {
        "plain": [each for each in groups["none"] if each.cell.momentum == 0],
        "momentum": [each for each in groups["none"] if each.cell.momentum > 0],
    }
    for name, members in groups.items():
        quantities |= _compared(name, members, _at_start, "λ at the start")
        quantities |= _compared(f"{name}_along", members, _along, "the largest λ while training")
    for name in num_classes:
        quantities |= _of_normalization(name, groups[name])
    for loss in losses:
        quantities |= _over_classes(loss, groups["plain"])
    quantities |= _speed(found)
    return Measurement(
        quantities=quantities,
        drawings=[_edge_figure(found), _class_figure(found), _speed_figure(found)],
        tables=[_by_loss(found), _table(every)],
    )


def _each(cells: Sequence[Cell], *, workers: int, cache: str | None, **options: Any) -> list[Found]:
    """Measure cells; what this code has measured is in the cache, so that a stopped study resumes.

    Args:
        cells: What to measure.
        workers: Processes.
        cache: A folder, ``None`` for none.
        options: Of :func:`~edge.search.measure`.
    """
    folder = None
    if cache is not None:
        code = hashlib.sha256(Path(search.__file__).read_bytes()).hexdigest()[:16]
        folder = Path(cache).expanduser() / "edge" / code
    work = joblib.Memory(folder, verbose=0).cache(search.measure)
    parallel = joblib.Parallel(n_jobs=workers, batch_size=1, verbose=1 if workers > 1 else 0)
    found: list[Found] = parallel(joblib.delayed(work)(cell, **options) for cell in cells)
    return found


# --- a cell's numbers, over its seeds


def _start(found: Found) -> FloatArray:
    return np.array([predicted(found.cell, value) for value in found.sharpness])


def _mean(values: Sequence[float] | FloatArray) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(values))))


def _edge(found: Found) -> float:
    return _mean(found.edge)


def _at_start(found: Found) -> float:
    return _mean(_start(found))


def _along(found: Found) -> float:
    # Of the first seed, like the numbers it is made of.
    return predicted(found.cell, max(found.sharpness[0], found.along))


def _fewest(found: Found) -> tuple[float, float]:
    """Return the rate with the fewest steps to the threshold, and those, the median over seeds."""
    medians = [float(np.median(counts)) for counts in found.steps]
    steps = min(medians, default=math.inf)
    return (FRACTIONS[medians.index(steps)] * _edge(found) if medians else math.nan), steps


def _speed_at_start(found: Found) -> float:
    """Return signal × half the predicted edge, over 1 − β: what a step adds to the margin."""
    return _mean(np.maximum(found.signal, 1e-30) * _start(found)) / 2 / (1 - found.cell.momentum)


def _speed_at_best(found: Found) -> float:
    rate, _ = _fewest(found)
    return _mean(np.maximum(found.signal, 1e-30)) * rate / (1 - found.cell.momentum)


# --- quantities


def share(hits: Sequence[bool], what: str) -> Quantity:
    """Return a share with its exact binomial interval."""
    count, n = sum(hits), len(hits)
    low, high = binomial_interval(count, n) if n else (0.0, 1.0)
    return Quantity(value=count / n if n else math.nan, low=low, high=high, n=n, what=what)


def geometric(values: Sequence[float] | FloatArray, what: str) -> Quantity:
    """Return the geometric mean, with Student's t interval of the logarithms.

    >>> geometric([1.0, 4.0], "example").value
    2.0
    """
    logs = np.log(values)
    low, high = np.exp(t_interval(logs) or (-math.inf, math.inf))
    return Quantity(value=_mean(values), low=float(low), high=float(high), n=len(logs), what=what)


def fitted(x: FloatArray, y: FloatArray, what: str) -> dict[str, Quantity]:
    """Return slope and R² of the least-squares line of log y on log x.

    Intervals are the percentile bootstrap's over the points, 2,000 draws.

    >>> x = np.array([1.0, 2.0, 4.0, 8.0])
    >>> round(fitted(x, 3 * x**2, "example")["slope"].value, 6)
    2.0
    """
    logs = np.log(np.stack([x, y]))
    draws = np.random.default_rng(0).integers(len(x), size=(RESAMPLES, len(x)))
    drawn = np.array([_line(logs[:, draw]) for draw in draws])
    drawn = drawn[np.isfinite(drawn).all(axis=1)]  # a line needs two points that differ
    ends = np.quantile(drawn, (0.025, 0.975), axis=0) if len(drawn) else np.full((2, 2), np.nan)
    low, high = ends
    return {
        name: Quantity(
            value=_line(logs)[i], low=float(low[i]), high=float(high[i]), n=len(x),
            what=f"{text} of {what}",
        )
        for i, (name, text) in enumerate({"slope": "slope", "r2": "R²"}.items())
    }  # fmt: skip


def _line(logs: FloatArray) -> tuple[float, float]:
    """Return slope and R² of ``(2, n)`` points."""
    (xx, xy), (_, yy) = np.cov(logs, ddof=0)
    return (float(xy / xx), float(xy**2 / (xx * yy))) if xx * yy > 0 else (math.nan, math.nan)


def _compared(
    name: str, found: Sequence[Found], prediction: Callable[[Found], float], about: str
) -> dict[str, Quantity]:
    """Return slope, R², ratio and share within a factor 2 of edges against 2(1 + β)/λ."""
    x = np.array([prediction(each) for each in found])
    y = np.array([_edge(each) for each in found])
    what = f"the measured edge against 2(1 + β)/λ, {about}, {len(found)} cells"
    quantities = {
        "ratio": geometric(y / x, f"geometric mean of the ratio of {what}"),
        "within": _close(y / x, f"share of cells within a factor {WITHIN:g}: {what}"),
    }
    quantities |= fitted(x, y, f"log–log line of {what}")
    return {f"{name}_{key}": quantity for key, quantity in quantities.items()}


def _close(ratios: FloatArray, what: str) -> Quantity:
    return share([1 / WITHIN <= ratio <= WITHIN for ratio in ratios.tolist()], what)


def _of_normalization(name: str, found: Sequence[Found]) -> dict[str, Quantity]:
    edge = {each.cell: _edge(each) for each in found}
    with_momentum = [
        edge[cell] / edge[plain]
        for cell in edge
        for plain in edge
        if cell.momentum > plain.momentum == 0
        and (cell.loss, cell.num_classes) == (plain.loss, plain.num_classes)
    ]
    hover = [
        each.at_edge * each.edge[0] / (2 * (1 + each.cell.momentum))
        for each in found
        if each.at_edge > 0
    ]
    where = "without batch norm" if name == "none" else "with batch norm"
    return {
        f"{name}_momentum": geometric(
            with_momentum, f"edge with momentum 0.9 over that without, {where}, over K and losses"
        ),
        f"{name}_at_edge": geometric(
            hover, f"λ · rate/(2(1 + β)) after training at the edge, {where}, over cells"
        ),
    }


def _over_classes(loss: str, found: Sequence[Found]) -> dict[str, Quantity]:
    mine = [each for each in found if each.cell.loss == loss]
    k = np.log([each.cell.num_classes for each in mine])
    numbers = {"": ("the edge", [each.edge for each in mine])}
    numbers["_predicted"] = ("2/λ at the start", [_start(each).tolist() for each in mine])
    return {
        f"k_{loss}{name}": over_seeds(
            np.polyfit(k, np.log(values), 1)[0],
            f"slope of the logarithm of {what} over that of K, {LABELS[loss]}, β = 0, over seeds",
        )
        for name, (what, values) in numbers.items()
    }


def _timed(found: Sequence[Found]) -> list[Found]:
    return [each for each in found if math.isfinite(_fewest(each)[1])]


def _against_cross_entropy(found: Sequence[Found]) -> list[tuple[Found, Found]]:
    """Return each timed cell of another loss with cross-entropy's, all else equal."""
    timed = _timed(found)
    return [
        (one, other)
        for one in timed
        for other in timed
        if other.cell.loss == "cross_entropy" != one.cell.loss
        and (one.cell.num_classes, one.cell.momentum, one.cell.normalization)
        == (other.cell.num_classes, other.cell.momentum, other.cell.normalization)
    ]


def _slower(pairs: Sequence[tuple[Found, Found]], of: Callable[[Found], float]) -> FloatArray:
    """Return how many times as slow as cross-entropy each loss is, by its speed."""
    return np.array([of(other) / of(one) for one, other in pairs])


def _steps_ratio(pairs: Sequence[tuple[Found, Found]]) -> FloatArray:
    return np.array([_fewest(one)[1] / _fewest(other)[1] for one, other in pairs])


def _speed(found: Sequence[Found]) -> dict[str, Quantity]:
    """Return how the best rate and the steps to the threshold compare with the start's.

    Returns:
        ``timed``: the share of cells, of those in which steps are counted, that reach it at all;
        ``best_half``: the share whose best rate is within a factor 2 of half the edge;
        ``best_within``, ``best_slope``, ``best_r2``: the best rate against (1 + β)/λ;
        ``time_...``: steps over cross-entropy's, against those that signal × (1 + β)/λ at the
        start gives; ``known_...``: against signal at the start × the best rate.
    """
    counted, timed = [each for each in found if each.steps], _timed(found)
    best = np.array([_fewest(each)[0] for each in timed])
    half = best / np.array([_edge(each) / 2 for each in timed])
    start = np.array([_at_start(each) / 2 for each in timed])
    quantities = {
        "timed": share(
            [math.isfinite(_fewest(each)[1]) for each in counted], "cells that reach the threshold"
        ),
        "best_half": _close(half, "cells whose best rate is within a factor 2 of half the edge"),
        "best_within": _close(
            best / start, "cells whose best rate is within a factor 2 of (1 + β)/λ at the start"
        ),
    }
    line = fitted(start, best, "log–log line of the best rate against (1 + β)/λ at the start")
    quantities |= {f"best_{key}": quantity for key, quantity in line.items()}
    pairs = _against_cross_entropy(found)
    measured = _steps_ratio(pairs)
    ways = {
        "time": (_speed_at_start, "signal × (1 + β)/λ at the start"),
        "known": (_speed_at_best, "signal at the start × the best rate"),
    }
    for name, (of, by) in ways.items():
        x = _slower(pairs, of)
        what = f"steps to the threshold over cross-entropy's against those by {by}"
        quantities[f"{name}_within"] = _close(measured / x, f"share within a factor 2: {what}")
        line = fitted(x, measured, f"log–log line of {what}")
        quantities |= {f"{name}_{key}": quantity for key, quantity in line.items()}
    return quantities


# --- figures and the table


def _dots(points: Sequence[tuple[Found, float, float]]) -> list[Curve]:
    """Return points, a colour a loss and a marker a momentum; the legend names colours once."""
    curves = []
    for (loss, label), (momentum, marker) in itertools.product(LABELS.items(), MARKERS.items()):
        mine = [
            (x, y)
            for found, x, y in points
            if (found.cell.loss, found.cell.momentum) == (loss, momentum)
        ]
        if mine:
            style = STYLES[loss]._replace(marker=marker)
            x, y = (list(values) for values in zip(*mine, strict=True))
            # The legend has each loss once, and the marker of momentum once.
            name = "" if momentum else label
            curves.append(Curve(label=name, x=x, y=y, line=False, style=style))
    nowhere, style = [math.nan], Style(GREY, MARKERS[0.9], "")
    marker_of_momentum = Curve(label="β = 0.9", x=nowhere, y=nowhere, line=False, style=style)
    return [*curves, marker_of_momentum]


def _panel(
    title: str, x_label: str, y_label: str, points: Sequence[tuple[Found, float, float]]
) -> Panel:
    ends = [value for _, *pair in points for value in pair] or [1.0]
    equal = Curve(
        label="as predicted",
        x=[min(ends), max(ends)],
        y=[min(ends), max(ends)],
        style=Style(GREY, "", "-"),
    )
    # Of less than two decades matplotlib labels every step, one over the other.
    few = [(f"{x:g}", x) for x in (0.1, 0.3, 1.0, 3.0, 10.0) if min(ends) <= x <= max(ends)]
    return Panel(
        title=title,
        x_label=x_label,
        y_label=y_label,
        curves=[equal, *_dots(points)],
        x_log=True,
        y_log=True,
        ticks=few if max(ends) < 100 * min(ends) else None,
    )


def _edge_figure(found: Sequence[Found]) -> Drawing:
    whats = {
        "2(1 + β)/λ, λ before training": _at_start,
        "2(1 + β)/λ, largest λ while training": _along,
    }
    where = {"none": "No norm", "batch": "Batch norm"}
    return Drawing(
        name="edge",
        caption=(
            "The largest stable learning rate against 2(1 + β)/λ, each point a loss with a number "
            "of classes and a momentum (circles: none), geometric mean over seeds."
        ),
        panels=[
            _panel(
                title,
                x_label,
                "largest stable rate",
                [
                    (each, prediction(each), _edge(each))
                    for each in found
                    if each.cell.normalization == name
                ],
            )
            for name, title in where.items()
            for x_label, prediction in whats.items()
        ],
        columns=2,
        size=(10.4, 10.4),
        legend_below=True,
    )


def _class_figure(found: Sequence[Found]) -> Drawing:
    panels = []
    for title, of in {"Measured edge": _edge, "2(1 + β)/λ before training": _at_start}.items():
        curves = []
        for loss, label in LABELS.items():
            mine = [
                (float(each.cell.num_classes), of(each))
                for each in found
                if (each.cell.loss, each.cell.momentum, each.cell.normalization)
                == (loss, 0.0, "none")
            ]
            if mine:
                x, y = (list(values) for values in zip(*sorted(mine), strict=True))
                curves.append(Curve(label=label, x=x, y=y, style=STYLES[loss]))
        panels.append(
            Panel(
                title=title,
                x_label="number of classes K",
                y_label="learning rate",
                curves=curves,
                x_log=True,
                y_log=True,
                ticks="values",
            )
        )
    return Drawing(
        name="classes",
        caption=(
            "The same images with labels merged to K classes, no norm, no momentum; geometric "
            "mean over seeds."
        ),
        panels=panels,
        share=True,
        legend_below=True,
    )


def _speed_figure(found: Sequence[Found]) -> Drawing:
    timed, pairs = _timed(found), _against_cross_entropy(found)
    ratios = [_slower(pairs, of).tolist() for of in (_speed_at_start, _speed_at_best)]
    measured = _steps_ratio(pairs).tolist()

    def points(x: Sequence[float]) -> list[tuple[Found, float, float]]:
        return [(one, *values) for (one, _), *values in zip(pairs, x, measured, strict=True)]

    slower = "steps over cross-entropy's"
    return Drawing(
        name="speed",
        caption=(
            "Left: the rate with the fewest steps to 90% of training images against half the edge "
            "that curvature at the start predicts. Middle and right: those steps over "
            "cross-entropy's, all else equal, against what signal × rate says, with the predicted "
            "and with the measured best rate. Points with and without batch norm."
        ),
        panels=[
            _panel(
                "Best rate",
                "(1 + β)/λ before training",
                "best rate",
                [(each, _at_start(each) / 2, _fewest(each)[0]) for each in timed],
            ),
            _panel("Time, from the start alone", f"predicted {slower}", slower, points(ratios[0])),
            _panel("Time, at the best rate", f"predicted {slower}", slower, points(ratios[1])),
        ],
        size=(13.8, 5.4),
        legend_below=True,
    )


def _by_loss(found: Sequence[Found]) -> TableOfNumbers:
    """Return the ratio of edge and prediction of each loss, from the least to the most over K."""
    groups = {
        f"{title}, β = {momentum:g}": (normalization, momentum)
        for normalization, title in {"none": "no norm", "batch": "batch norm"}.items()
        for momentum in MARKERS
    }
    rows = []
    for loss, label in LABELS.items():
        texts = []
        for group in groups.values():
            ratios = [
                _edge(each) / _at_start(each)
                for each in found
                if each.cell.loss == loss and (each.cell.normalization, each.cell.momentum) == group
            ]
            texts.append(
                f"{_mean(ratios):.2g} ({min(ratios):.2g} to {max(ratios):.2g})" if ratios else "–"
            )
        rows.append([label, *texts])
    return TableOfNumbers(
        title="Edge over 2(1 + β)/λ at the start: geometric mean over K, and its range",
        columns=["", *groups],
        rows=rows,
    )


def _table(found: Sequence[Found]) -> TableOfNumbers:
    rows = []
    for each in found:
        cell = each.cell
        rate, steps = _fewest(each)
        reached = math.isfinite(steps)
        rows.append(
            [
                f"{LABELS[cell.loss]}, {cell.normalization}, K = {cell.num_classes}, "
                f"β = {cell.momentum:g}",
                _several(each.sharpness),
                _several([each.along]),
                _several([each.at_edge]),
                _several(_start(each)),
                _several(each.edge),
                _several(each.signal),
                f"{rate:.3g}" if reached else "–",
                "; ".join(_several(counts) for counts in each.steps) or "–",
            ]
        )
    fractions = ", ".join(f"{fraction:g}" for fraction in FRACTIONS)
    return TableOfNumbers(
        title="Every cell, a number a seed",
        columns=[
            "loss, norm, classes, momentum",
            "λ at the start",
            f"λ after {LATER} steps at a tenth of the edge (first seed)",
            "λ at the edge (first seed)",
            "2(1 + β)/λ",
            "edge",
            "signal",
            "best rate",
            f"steps to the threshold at {fractions} of the edge",
        ],
        rows=rows,
    )


def _several(values: Sequence[float] | FloatArray) -> str:
    texts = [f"{value:.3g}" for value in values]
    return " ".join(texts).replace("inf", "∞").replace("nan", "–") or "–"
