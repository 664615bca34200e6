"""Accuracy over the values of a parameter: a panel for each loss."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from losslab.report import formatting as show
from losslab.report.canvas import MUTED, new_figure, percent_axis, save, wrap
from losslab.report.findings import Findings
from losslab.report.statistics import Interval
from losslab.report.style import arm_styles
from losslab.styles import Style


class Line(NamedTuple):
    """An accuracy over the values of a parameter.

    Attributes:
        label: The title of its panel.
        style: Of the loss.
        points: (value, mean, interval), values ascending.
        chosen: The value to mark.
    """

    label: str
    style: Style
    points: list[tuple[float, float, Interval | None]]
    chosen: float | None = None


def accuracy_by_value(findings: Findings, path: Path) -> None:
    """Validation accuracy of every arm over the whole grid, with the chosen points marked."""
    plan = findings.plan
    styles = arm_styles(plan.families)
    lines = {
        arm: Line(
            plan.label(arm),
            styles[arm.partition("@")[0]],
            [
                (point.value, point.mean, point.interval)
                for point in findings.tuning
                if point.arm == arm and point.mean is not None
            ],
            findings.chosen(arm),
        )
        for arm in plan.arms
    }
    drawn = [arm for arm, line in lines.items() if line.points]
    seeds = max((point.planned for point in findings.tuning), default=0)
    draw_by_value(
        [lines[arm] for arm in drawn],
        path,
        x_label=plan.parameter_name,
        y_label=f"{show.metric_name(plan.select)} (%)",
        note=f"{show.mean_of(seeds)}, bars: 95% interval; ring: chosen; grey, dashed: "
        f"{plan.reference_label} and its choice",
        beside=[lines[plan.reference_of(arm)] for arm in drawn],
        # A row for each condition.
        columns=len(plan.families) if plan.conditions else None,
    )


def draw_by_value(
    lines: Sequence[Line],
    path: Path,
    *,
    x_label: str,
    y_label: str,
    note: str,
    beside: Sequence[Line] | None = None,
    columns: int | None = None,
) -> None:
    """Draw each line in a panel of its own, all with the same axes.

    Args:
        lines: At least one.
        path: Of the PNG.
        x_label: With its unit.
        y_label: With its unit.
        note: Below the figure: what is drawn.
        beside: For each line another one, drawn in its panel in grey, to compare with.
        columns: Of panels; ``None`` for three at the most.
    """
    columns = min(columns or 3, len(lines))
    rows = -(-len(lines) // columns)
    figure, axes = new_figure(
        1.6 + 2.8 * columns, 1.2 + 2.3 * rows, columns=columns, heights=[1] * rows, share=True
    )
    values = [value for line in lines for value, _, _ in line.points]
    others: list[Line | None] = [*beside] if beside else [None for _ in lines]
    for axis, line, other in zip(axes, lines, others, strict=False):
        if other is not None:
            if line is not other and other.points:
                axis.plot(
                    *zip(*[p[:2] for p in other.points], strict=True), color="#BFBFBF", lw=1.5
                )
            if other.chosen is not None:
                axis.axvline(other.chosen, color=MUTED, lw=1, ls=(0, (4, 3)), zorder=0)
        _draw(axis, line)
        axis.set_title(wrap(line.label, 30), loc="left", fontsize=10)
        # Of every panel: below the last row there may be none.
        axis.tick_params(labelbottom=True)
        axis.grid(axis="y")
        axis.set_axisbelow(True)
    for axis in axes[len(lines) :]:
        axis.set_visible(False)
    _scale_values(axes[0], values)
    axes[0].set_ylim(0, 1.02)
    percent_axis(axes[0].yaxis)
    figure.supxlabel(f"{x_label}{' (logarithmic)' * logarithmic(values)}\n{note}", fontsize=10)
    figure.supylabel(y_label, fontsize=10)
    save(figure, path)


def _draw(axis: Axes, line: Line) -> None:
    style = line.style
    values, means, intervals = zip(*line.points, strict=True)
    bounds = [interval or (mean, mean) for interval, mean in zip(intervals, means, strict=True)]
    axis.vlines(values, *zip(*bounds, strict=True), color=style.color, lw=1.4)
    axis.plot(values, means, color=style.color, marker=style.marker, ls=style.line)
    for value, mean, _ in line.points:
        if value == line.chosen:
            axis.plot(value, mean, "o", ms=12, mfc="none", mec=style.color, mew=1.6, clip_on=False)


def logarithmic(values: Sequence[float]) -> bool:
    """Return whether values span a decade or more, all positive."""
    return min(values) > 0 and max(values) >= 10 * min(values)


def _scale_values(axis: Axes, values: Sequence[float]) -> None:
    """Set a tick for each value, labelled as far as there is room: the decades of many."""
    ticks = sorted(set(values))
    if logarithmic(values):
        axis.set_xscale("log")
        decades = [tick for tick in ticks if math.log10(tick).is_integer()]
        # Eight decades in a small panel would run into one another.
        decades = decades[:: max(1, -(-len(decades) // _DECADES))]
        some, room = decades if len(decades) > 1 else ticks[::2], _TICKS
    else:
        some, room = ticks, _LABELS
    if len(ticks) > room:
        return  # matplotlib's own are better than a forest of them
    labelled = some if len(ticks) > _LABELS else ticks
    axis.set_xticks(labelled, [f"{tick:g}" for tick in labelled])
    axis.set_xticks([tick for tick in ticks if tick not in labelled], minor=True)
    axis.xaxis.set_minor_formatter(NullFormatter())


_LABELS, _DECADES, _TICKS = 5, 6, 30
