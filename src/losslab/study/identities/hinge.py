"""S14: softmax beside the multi-class hinge on the linear model of the course notes."""

from collections import defaultdict

import numpy as np

from losslab.figures import Curve, Drawing, Panel
from losslab.report.evidence import Measurement
from losslab.report.statistics import t_interval
from losslab.study.measure import Runs
from losslab.study.over_seeds import over_seeds, pairs
from losslab.study.points import Point
from losslab.study.reading import final

_LABELS = {"softmax": "cross-entropy", "hinge": "multi-class hinge"}
_LOSSES = {"softmax": "cross_entropy", "hinge": "multiclass_hinge"}


def beside_softmax(runs: Runs) -> Measurement:
    """Compare both losses at the learning rate that is best for each on validation.

    Needs the sets ``linear_softmax`` and ``linear_hinge``, whose ``optimizer.lr`` and seeds vary.

    Returns:
        ``difference``: test accuracy under the hinge less that under cross-entropy, paired over
        seeds; ``hinge`` and ``softmax``: test accuracies.
    """
    sides = {name: _by_rate(runs[f"linear_{name}"]) for name in _LABELS}
    best = {
        name: max(rates, key=lambda rate: _mean(rates[rate], "val/accuracy"))
        for name, rates in sides.items()
    }
    chosen = {name: sides[name][best[name]] for name in _LABELS}
    differences = [
        final(hinge, "test/accuracy") - final(softmax, "test/accuracy")
        for hinge, softmax in pairs(chosen["hinge"], chosen["softmax"])
    ]
    quantities = {
        name: over_seeds(
            [final(point, "test/accuracy") for point in chosen[name]],
            f"test accuracy of the linear model, {_LABELS[name]}, rate {best[name]:g}",
        )
        for name in _LABELS
    }
    quantities["difference"] = over_seeds(
        differences, "test accuracy under the hinge less that under cross-entropy, paired"
    )
    return Measurement(
        quantities=quantities,
        drawings=[
            Drawing(
                name="hinge",
                caption="Softmax and the multi-class hinge on one linear model: mean over seeds "
                "with 95% intervals. The rate of each was chosen on validation.",
                panels=[
                    Panel(
                        title="Two losses, one linear model",
                        x_label="learning rate",
                        x_log=True,
                        y_label="test accuracy, share correct",
                        curves=[_curve(name, sides[name]) for name in _LABELS],
                    )
                ],
            )
        ],
    )


def _by_rate(points: list[Point]) -> dict[float, list[Point]]:
    rates: dict[float, list[Point]] = defaultdict(list)
    for point in points:
        rates[float(point.values["optimizer.lr"])].append(point)
    return dict(sorted(rates.items()))


def _mean(points: list[Point], tag: str) -> float:
    return float(np.mean([final(point, tag) for point in points]))


def _curve(name: str, rates: dict[float, list[Point]]) -> Curve:
    values = {
        rate: np.array([final(point, "test/accuracy") for point in points])
        for rate, points in rates.items()
    }
    intervals = [t_interval(each) for each in values.values()]
    return Curve(
        label=_LABELS[name],
        x=list(values),
        y=[float(each.mean()) for each in values.values()],
        low=[i.low for i in intervals if i is not None] if all(intervals) else None,
        high=[i.high for i in intervals if i is not None] if all(intervals) else None,
        loss=_LOSSES[name],
    )
