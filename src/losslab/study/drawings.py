"""Measures that draw what runs recorded: numbers during training, and curves of diagnostics.

Each takes the sets to draw, which have the colours of their losses, the ``name`` of the figure's
file, and ``labels`` of the sets, by default those of the study's arms.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from losslab.figures import Curve, Drawing, Field, Panel
from losslab.metrics import ECE_BINS
from losslab.recording import Run, read_records
from losslab.report.measurement import Measurement
from losslab.study.measure import Runs
from losslab.study.over_seeds import curve_over_seeds

FEWEST = 20
"""The fewest examples in a bin of a reliability diagram; below, accuracy is too uncertain."""


def over_training(
    runs: Runs,
    *,
    tag: str,
    name: str,
    title: str,
    y_label: str,
    labels: Mapping[str, str] | None = None,
    logarithmic: bool = False,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Measurement:
    """Draw a number during training: the mean over seeds against the epoch, with 95% intervals.

    Epochs at which a run recorded no finite number (it had diverged) are left out. A
    ``logarithmic`` axis has geometric means; intervals are cut at ``bounds``, which the number
    cannot leave.
    """
    curves, losses = [], _losses(runs)
    for arm, points in runs.items():
        recorded = [_numbers(point, tag) for point in points]
        epochs = sorted(set(recorded[0]).intersection(*recorded[1:]))
        if epochs:
            curve = curve_over_seeds(
                _label(labels, arm),
                epochs,
                np.array([[values[epoch] for epoch in epochs] for values in recorded]),
                logarithmic=logarithmic,
                bounds=bounds,
                loss=losses[arm],
            )
            curves.append(curve)
    panel = Panel(title=title, x_label="epoch", y_label=y_label, curves=curves, y_log=logarithmic)
    return _drawing(name, title, [panel])


def reliability(
    runs: Runs, *, name: str = "reliability", labels: Mapping[str, str] | None = None
) -> Measurement:
    """Draw reliability diagrams of the test part, as it is and after one temperature.

    The bins of all seeds are pooled: Σ correct over Σ examples against Σ confidence over Σ
    examples. Those with fewer than :data:`FEWEST` examples are left out.
    """
    kinds = {
        "as trained": "why/calibration/reliability",
        "after one temperature": "why/calibration/reliability_scaled",
    }
    losses = _losses(runs)
    panels = [
        Panel(
            title=f"Reliability {kind}",
            x_label="mean confidence in the bin",
            y_label="accuracy in the bin",
            curves=[
                Curve(label=_label(labels, arm), loss=losses[arm], **_pooled_bins(points, curve))
                for arm, points in runs.items()
            ],
            diagonal=True,
        )
        for kind, curve in kinds.items()
    ]
    caption = (
        "Accuracy against confidence on the test part, in bins with at least "
        f"{FEWEST} examples of all seeds; on the diagonal they agree"
    )
    return _drawing(name, caption, panels)


def line(runs: Runs, *, name: str = "line", labels: Mapping[str, str] | None = None) -> Measurement:
    """Draw the loss on the line from the initial to the final weights, mean over seeds.

    Losses of different scales compare as shares of the fall, (L(a) − L(1)) / (L(0) − L(1)); a
    curve above the falling chord is not convex.
    """
    curves, losses = [], _losses(runs)
    for arm, points in runs.items():
        columns = [column for p in points if (column := _last(p, "why/landscape/line"))]
        places = [column["position"] for column in columns]
        if not places or any(place != places[0] for place in places):
            continue  # a loss that was not finite somewhere has no mean there
        values = np.array([column["loss"] for column in columns])
        first, last = (values[:, [places[0].index(end)]] for end in (0.0, 1.0))
        curves.append(
            curve_over_seeds(
                _label(labels, arm), places[0], (values - last) / (first - last), loss=losses[arm]
            )
        )
    panel = Panel(
        title="Training loss on the line from start to end",
        x_label="position (0: initial weights, 1: final weights)",
        y_label="loss, as a share of its fall",
        curves=curves,
    )
    return _drawing(name, panel.title, [panel])


def surface(
    runs: Runs, *, name: str = "surface", labels: Mapping[str, str] | None = None
) -> Measurement:
    """Draw the accuracy of the probe on a plane around the final weights, a panel a set.

    Accuracy, because losses of different scales share no colour bar. One seed, the first: the
    directions are random, and surfaces of several seeds have no mean.
    """
    panels = []
    for arm, points in runs.items():
        columns = _last(points[0], "why/landscape/surface")
        if columns:
            panels.append(
                Panel(
                    title=_label(labels, arm),
                    x_label="step along direction 1, in lengths of the filters",
                    y_label="step along direction 2, in lengths of the filters",
                    curves=[],
                    field=Field(
                        x=columns["x"],
                        y=columns["y"],
                        z=columns["accuracy"],
                        label="training accuracy of the probe (%)",
                    ),
                )
            )
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
    labels: Mapping[str, str] | None = None,
    logarithmic: bool = True,
) -> Measurement:
    """Draw columns ``x`` and ``y`` of a ``curve`` at the start, early and at the end of training.

    Points of all seeds are shown: bins of a profile lie at their own means.
    """
    losses = _losses(runs)
    moments = {"before training": 0.0, "after the first epochs": 0.25, "at the end": 1.0}
    panels = [
        Panel(
            title=f"{title}, {moment}",
            x_label=x_label,
            y_label=y_label,
            curves=[
                Curve(
                    label=_label(labels, arm),
                    loss=losses[arm],
                    line=False,
                    **_points(points, curve, x, y, place),
                )
                for arm, points in runs.items()
            ],
            x_log=logarithmic,
            y_log=logarithmic,
        )
        for moment, place in moments.items()
    ]
    return _drawing(name, title, panels)


def _points(points: Sequence[Run], curve: str, x: str, y: str, place: float) -> dict[str, Any]:
    xs: list[float] = []
    ys: list[float] = []
    for point in points:
        records = [r for r in read_records(point.files.curves) if curve in r]
        if records:
            columns = records[round(place * (len(records) - 1))][curve]
            xs += columns[x]
            ys += columns[y]
    order = sorted(range(len(xs)), key=xs.__getitem__)
    return {"x": [xs[i] for i in order], "y": [ys[i] for i in order]}


def _losses(runs: Runs) -> dict[str, str | None]:
    """Return of each set the loss whose colour it has; of several, the first has it."""
    losses: dict[str, str | None] = {}
    for arm, points in runs.items():
        loss = points[0].choices["loss"]
        losses[arm] = None if loss in losses.values() else loss
    return losses


def _label(labels: Mapping[str, str] | None, arm: str) -> str:
    return (labels or {}).get(arm, arm)


def _drawing(name: str, caption: str, panels: list[Panel]) -> Measurement:
    """Return a figure of the panels that show something, or none."""
    shown = [panel for panel in panels if panel.curves or panel.field]
    drawings = [Drawing(name=name, caption=caption, panels=shown)] if shown else []
    return Measurement(drawings=drawings)


def _numbers(point: Run, tag: str) -> dict[float, float]:
    """Return epoch to number, of those that are finite."""
    records = read_records(point.files.metrics)
    found = {float(r["epoch"]): float(r[tag]) for r in records if tag in r and "epoch" in r}
    return {epoch: value for epoch, value in found.items() if math.isfinite(value)}


def _last(point: Run, curve: str) -> dict[str, list[float]] | None:
    """Return the columns of a curve as a run last recorded it."""
    records = [r for r in read_records(point.files.curves) if curve in r]
    columns: dict[str, list[float]] | None = records[-1][curve] if records else None
    return columns


def _pooled_bins(points: Sequence[Run], curve: str) -> dict[str, Any]:
    """Return confidence ``x`` and accuracy ``y`` in the bins of all runs together."""
    sums: dict[int, list[float]] = {}
    for columns in filter(None, (_last(point, curve) for point in points)):
        rows = zip(columns["confidence"], columns["accuracy"], columns["count"], strict=True)
        for confidence, accuracy, count in rows:
            total = sums.setdefault(math.ceil(confidence * ECE_BINS), [0.0, 0.0, 0.0])
            for place, value in enumerate((confidence * count, accuracy * count, count)):
                total[place] += value
    bins = [sums[place] for place in sorted(sums) if sums[place][2] >= FEWEST]
    return {
        "x": [confidence / count for confidence, _, count in bins],
        "y": [correct / count for _, correct, count in bins],
    }
