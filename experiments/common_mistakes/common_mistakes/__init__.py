"""Measures of the study ``common_mistakes``: what people see, and how it comes about."""

from collections.abc import Sequence

import numpy as np

from losslab.figures import Curve, Drawing, Panel, Style
from losslab.recording import Run
from losslab.report.measurement import Quantity
from losslab.study.measure import curve_over_seeds, number, over_seeds, pairs, record

QUIET = Style("#8C8C8C", "", "-")
"""Of lines that are no measurement, such as a floor."""


def exact(value: float, n: int, what: str) -> Quantity:
    """Return a number that is computed rather than sampled, and so has no interval."""
    return Quantity(value=value, n=n, what=what)


def figure(name: str, caption: str, *panels: Panel, legend_below: bool = False) -> list[Drawing]:
    """Return one figure of panels side by side."""
    return [Drawing(name=name, caption=caption, panels=list(panels), legend_below=legend_below)]


def level(label: str, height: float, x: Sequence[float]) -> Curve:
    """Return a thin horizontal line over the range of ``x``."""
    return Curve(label=label, x=[min(x), max(x)], y=[height, height], style=QUIET)


def over_time(
    label: str,
    runs: Sequence[Run],
    tag: str,
    *,
    loss: str | None = None,
    over: str = "step",
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Curve:
    """Return a recorded number against the step or epoch: mean over seeds, 95% interval."""
    found = [dict(zip(*record(run, tag, over=over), strict=True)) for run in runs]
    x = sorted(set.intersection(*(set(each) for each in found)))
    values = np.array([[each[place] for place in x] for each in found])
    return curve_over_seeds(label, x, values, bounds=bounds, loss=loss)


def accuracies(runs: Sequence[Run], what: str) -> Quantity:
    """Return the mean accuracy on the test part."""
    return over_seeds([number(run, "test/accuracy") for run in runs], f"test accuracy, {what}")


def accuracy_gained(runs: Sequence[Run], over: Sequence[Run], what: str) -> Quantity:
    """Return the difference of the accuracies on the test part, paired by seed."""
    found = [
        number(one, "test/accuracy") - number(other, "test/accuracy")
        for one, other in pairs(runs, over)
    ]
    return over_seeds(found, f"test accuracy, {what}, paired")
