"""Measures that draw figures: scalars during training, and curves of diagnostics.

Each takes the sets to draw, in the colours of their losses, the ``name`` of the figure's file, and
``labels`` of the sets, by default those of the study's arms.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from losslab.figures import Curve, Drawing, Field, Panel
from losslab.metrics import ECE_BINS
from losslab.recording import Run, read_records
from losslab.report import formatting as show
from losslab.report.measurement import Measurement, TableOfNumbers
from losslab.study.measure import (
    Labels,
    Runs,
    curve_over_seeds,
    number,
    over_seeds,
    record,
    value_of,
)

FEWEST = 20
"""Bins of a reliability diagram with fewer examples are left out as too uncertain."""
SMALLEST = 1e-10
"""Points of a profile below this are left out on logarithmic axes."""


def over_training(
    runs: Runs,
    *,
    tag: str,
    name: str,
    title: str,
    y_label: str,
    labels: Labels = None,
    logarithmic: bool = False,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Measurement:
    """Draw a scalar over epochs: the mean over seeds, with 95% intervals.

    Epochs at which some run has no finite value, as it diverged, are left out. A ``logarithmic``
    axis has geometric means. Intervals are clipped to ``bounds``, the range of the scalar.
    """
    curves = []
    for style, members in _styles(runs, labels):
        recorded = [dict(zip(*record(run, tag, over="epoch"), strict=True)) for run in members]
        finite = [{epoch for epoch, y in each.items() if math.isfinite(y)} for each in recorded]
        epochs = sorted(set.intersection(*finite))
        if epochs:
            values = np.array([[each[epoch] for epoch in epochs] for each in recorded])
            shown: dict[str, Any] = {"logarithmic": logarithmic, "bounds": bounds}
            curves.append(curve_over_seeds(x=epochs, values=values, **shown, **style))
    axes: dict[str, Any] = {"x_label": "epoch", "y_label": y_label, "ticks": "counts"}
    panel = Panel(title=title, curves=curves, y_log=logarithmic, **axes)
    return _drawing(name, title, [panel])


def over_key(
    runs: Runs,
    *,
    key: str,
    metric: str,
    panels: Mapping[str, Mapping[str, Sequence[str]]],
    name: str,
    title: str,
    x_label: str,
    y_label: str,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Measurement:
    """Draw a final metric over a key of the configuration: means over seeds, 95% intervals.

    A table has the same numbers. ``panels`` maps titles to curves, each a label with its sets. The
    ``key`` holds a positive number, on a logarithmic axis; a set where it is null is drawn as a
    horizontal line.
    """
    drawn, rows = [], []
    places = {each: value_of(members[0], key) for each, members in runs.items()}
    for heading, lines in panels.items():
        curves = []
        shown = [places[each] for sets in lines.values() for each in sets]
        known = sorted({place for place in shown if place is not None})
        styles = _styles({label: runs[sets[0]] for label, sets in lines.items()}, None)
        for (style, _), sets in zip(styles, lines.values(), strict=True):
            level = places[sets[0]] is None
            x = [min(known), max(known)] if level else [places[each] for each in sets]
            values = [[number(run, metric) for run in runs[each]] for each in sets]
            seeds = np.array(values * 2 if level else values).T
            curves.append(curve_over_seeds(x=x, values=seeds, bounds=bounds, **style))
            for each, numbers in zip(sets, values, strict=True):
                at = "–" if level else f"{places[each]:g}"
                finite = [value for value in numbers if math.isfinite(value)]
                mean = show.quantity(over_seeds(finite, y_label)) if finite else show.ABSENT
                rows.append([f"{heading}: {style['label']}", at, mean, str(len(finite))])
        ticks = [(f"{place:g}", place) for place in known]
        axes: dict[str, Any] = {"x_label": x_label, "y_label": y_label, "x_log": True}
        drawn.append(Panel(title=heading, curves=curves, ticks=ticks, **axes))
    drawing = _drawing(name, title, drawn, legend_below=True, share="y")
    table = TableOfNumbers(
        title=title, columns=["", x_label.removesuffix(" (logarithmic)"), y_label, "n"], rows=rows
    )
    return replace(drawing, tables=[table])


def reliability(runs: Runs, *, name: str = "reliability", labels: Labels = None) -> Measurement:
    """Draw reliability diagrams of the test part, before and after temperature scaling.

    The bins of all seeds are pooled: Σ correct / Σ examples against Σ confidence / Σ examples.
    Those with fewer than :data:`FEWEST` examples are left out.
    """
    kinds = {
        "as trained": "why/calibration/reliability",
        "after one temperature": "why/calibration/reliability_scaled",
    }
    shown: dict[str, Any] = {
        "x_label": "mean confidence in the bin",
        "y_label": "accuracy in the bin",
        "diagonal": True,
    }
    styles, panels = _styles(runs, labels), []
    for kind, curve in kinds.items():
        curves = [Curve(**style, **_pooled_bins(members, curve)) for style, members in styles]
        panels.append(Panel(title=f"Reliability {kind}", curves=curves, **shown))
    caption = (
        "Accuracy against confidence on the test part, in bins with at least "
        f"{FEWEST} examples of all seeds; on the diagonal they agree"
    )
    return _drawing(name, caption, panels)


def line(runs: Runs, *, name: str = "line", labels: Labels = None) -> Measurement:
    """Draw the loss on the line from the initial to the final weights, averaged over seeds.

    To compare losses of different scales, it is shown as (L(a) − L(1)) / (L(0) − L(1)). A curve
    above the chord is not convex.
    """
    curves = []
    for style, members in _styles(runs, labels):
        columns = [found[-1] for run in members if (found := _recorded(run, "why/landscape/line"))]
        places = [column["position"] for column in columns]
        if not places or any(place != places[0] for place in places):
            continue  # a loss that is not finite at some position has no mean
        values = np.array([column["loss"] for column in columns])
        first, last = (values[:, [places[0].index(end)]] for end in (0.0, 1.0))
        shares = (values - last) / (first - last)
        curves.append(curve_over_seeds(x=places[0], values=shares, **style))
    panel = Panel(
        title="Training loss on the line from start to end",
        curves=curves,
        x_label="position (0: initial weights, 1: final weights)",
        y_label="loss, as a share of its fall",
    )
    return _drawing(name, panel.title, [panel])


def surface(runs: Runs, *, name: str = "surface", labels: Labels = None) -> Measurement:
    """Draw the accuracy of the probe on a plane around the final weights, one panel per set.

    Accuracy, because losses of different scales cannot share a colour bar. Only the first seed, as
    directions are random and surfaces of several seeds have no meaningful average.
    """
    panels = []
    for style, members in _styles(runs, labels):
        for columns in _recorded(members[0], "why/landscape/surface")[-1:]:
            x, y, z = (columns[key] for key in ("x", "y", "accuracy"))
            field = Field(x=x, y=y, z=z, label="training accuracy of the probe (%)")
            steps = [f"step along direction {n}, in lengths of the filters" for n in (1, 2)]
            about = {"title": style["label"], "x_label": steps[0], "y_label": steps[1]}
            panels.append(Panel(curves=[], field=field, **about))
    caption = "Training accuracy around the final weights, along two filter-normalised directions"
    return _drawing(name, caption, panels)


def profile(
    runs: Runs,
    *,
    curve: str,
    name: str,
    title: str,
    x_label: str,
    y_label: str,
    x: str = "p_true",
    y: str = "mean",
    labels: Labels = None,
    logarithmic: bool = True,
) -> Measurement:
    """Draw columns ``x`` and ``y`` of a ``curve`` before, early in and after training.

    All seeds are shown as points, as each has its own bins. On logarithmic axes those below 1e-10
    are left out, as one of them can take up a whole axis; the caption says how many.
    """
    panels, left_out = [], 0
    moments = {"before training": 0.0, "after the first epochs": 0.25, "at the end": 1.0}
    shown: dict[str, Any] = {"x_label": x_label, "y_label": y_label}
    shown |= {"x_log": logarithmic, "y_log": logarithmic}
    for moment, place in moments.items():
        curves = []
        for style, members in _styles(runs, labels):
            recorded = [found for run in members if (found := _recorded(run, curve))]
            then = [found[round(place * (len(found) - 1))] for found in recorded]
            points = [point for c in then for point in zip(c[x], c[y], strict=True)]
            points.sort(key=lambda point: point[0])
            drawn = [p for p in points if min(p) >= SMALLEST] if logarithmic else points
            left_out += len(points) - len(drawn)
            xs, ys = ([point[axis] for point in drawn] for axis in (0, 1))
            curves.append(Curve(x=xs, y=ys, line=False, **style))
        panels.append(Panel(title=f"{title}, {moment}", curves=curves, **shown))
    caption = f"{title} ({left_out} points below 1e-10 left out)" if left_out else title
    return _drawing(name, caption, panels, share=True)


def _styles(runs: Runs, labels: Labels) -> list[tuple[dict[str, Any], list[Run]]]:
    """Return, for each set, its label, its runs, and its loss if no earlier set has the same."""
    styles, taken = [], set()
    for name, members in runs.items():
        loss = members[0].choices["loss"]
        colour = None if loss in taken else loss
        styles.append(({"label": (labels or {}).get(name, name), "loss": colour}, members))
        taken.add(loss)
    return styles


def _drawing(name: str, caption: str, panels: list[Panel], **more: Any) -> Measurement:
    """Return a figure of the panels that are not empty, if any."""
    shown = [panel for panel in panels if panel.curves or panel.field]
    drawings = [Drawing(name=name, caption=caption, panels=shown, **more)] if shown else []
    return Measurement(drawings=drawings)


def _recorded(run: Run, curve: str) -> list[dict[str, list[float]]]:
    """Return the columns of a curve for each time that a run recorded it."""
    return [record[curve] for record in read_records(run.files.curves) if curve in record]


def _pooled_bins(runs: Sequence[Run], curve: str) -> dict[str, Any]:
    """Return confidence ``x`` and accuracy ``y`` in bins pooled over all runs."""
    sums: dict[int, Any] = defaultdict(lambda: np.zeros(3))
    for columns in (columns for run in runs for columns in _recorded(run, curve)[-1:]):
        rows = zip(columns["confidence"], columns["accuracy"], columns["count"], strict=True)
        for confidence, accuracy, count in rows:
            totals = sums[math.ceil(confidence * ECE_BINS)]
            totals += np.array([confidence * count, accuracy * count, count])
    bins = [total / total[2] for _, total in sorted(sums.items()) if total[2] >= FEWEST]
    return {"x": [float(mean[0]) for mean in bins], "y": [float(mean[1]) for mean in bins]}
