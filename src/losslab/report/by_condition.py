"""Test accuracy over a study's conditions, one line an arm."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from losslab.report.by_value import logarithmic
from losslab.report.canvas import new_figure, round_steps, save, wrap
from losslab.report.curves import at_rate
from losslab.report.findings import ACCURACY, Findings
from losslab.report.plan import Rate, in_condition
from losslab.report.style import arm_styles
from losslab.styles import Style


def accuracy_by_condition(findings: Findings, path: Path) -> None:
    """Draw every arm over the conditions, one panel a rate."""
    plan = findings.plan
    figure, axes = new_figure(2.4 + 4 * len(plan.rates), 4.6, columns=len(plan.rates), share=True)
    styles = arm_styles(plan.families)
    known = [condition.position for condition in plan.conditions.values()]
    at = [position for position in known if position is not None]
    scaled = len(at) == len(known)
    # Conditions without a scale have nothing between them to draw a line through.
    at = at if scaled else [float(index) for index in range(len(known))]
    decades = scaled and logarithmic(at)
    for axis, rate in zip(axes, plan.rates, strict=True):
        for (arm, style), places in zip(
            styles.items(), _side_by_side(at, len(styles), decades=decades), strict=True
        ):
            _draw(
                axis,
                findings,
                arm,
                rate,
                places=places,
                style=style if scaled else style._replace(line="none"),
            )
        if decades:
            axis.set_xscale("log")
        axis.set_xticks(at, [wrap(c.label, 14) for c in plan.conditions.values()])
        axis.set_xticks([], minor=True)
        axis.set_xlabel(plan.axis)
        axis.set_title(wrap(at_rate(plan, rate), 40), loc="left")
        axis.grid(axis="y")
        axis.set_axisbelow(True)
    axes[0].yaxis.set_major_locator(round_steps())
    axes[0].yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    axes[0].set_ylabel("test accuracy (%)\nmean over seeds, bars: 95% interval")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", handlelength=3.4, ncols=2)
    save(figure, path)


def _draw(
    axis: Axes,
    findings: Findings,
    arm: str,
    rate: Rate,
    *,
    places: Sequence[float],
    style: Style,
) -> None:
    plan = findings.plan
    points = []
    for place, condition in zip(places, plan.conditions, strict=True):
        found = findings.measured[in_condition(arm, condition), rate, ACCURACY].estimate
        if found is not None:
            points.append((place, found.mean, *(found.interval or (found.mean, found.mean))))
    if not points:
        return
    x, means, low, high = zip(*points, strict=True)
    axis.vlines(x, low, high, color=style.color, lw=1.4)
    axis.plot(
        x, means, color=style.color, marker=style.marker, ls=style.line,
        label=plan.families[arm].label, mec="white", mew=0.6,
    )  # fmt: skip


def _side_by_side(at: Sequence[float], number: int, *, decades: bool) -> list[list[float]]:
    """Return the positions for each arm, a little apart so that no bar hides another."""
    if decades:
        return [[x * factor for x in at] for factor in 10 ** np.linspace(-0.05, 0.05, number)]
    gap = min((abs(a - b) for a in at for b in at if a != b), default=1.0)
    return [[x + offset for x in at] for offset in np.linspace(-0.09, 0.09, number) * gap]
