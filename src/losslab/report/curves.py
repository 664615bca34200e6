"""Accuracy as a curve: over the tuning grid, and while training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from losslab.report import formatting as show
from losslab.report.canvas import MUTED, new_figure, percent_axis, save, wrap
from losslab.report.findings import Findings
from losslab.report.metrics import FloatArray
from losslab.report.plan import Plan, Rate, Side
from losslab.report.statistics import Interval, t_interval
from losslab.report.style import Style, arm_styles


def accuracy_by_value(findings: Findings, path: Path) -> None:
    """Validation accuracy of every arm over the whole grid, with the chosen points marked."""
    plan = findings.plan
    figure, (axis,) = new_figure(9, 4.8)
    styles = arm_styles(plan.arms)
    values = [point.value for point in findings.tuning]
    for arm, shift in zip(styles, shifts(len(styles), values), strict=True):
        style = styles[arm]
        curve = [
            (point.value * shift, point.mean, point.interval)
            for point in findings.tuning
            if point.arm == arm and point.mean is not None
        ]
        line(axis, curve, style=style, label=plan.arms[arm].label)
        chosen = findings.chosen(arm)
        for value, mean, _ in curve:
            if chosen is not None and value == chosen * shift:
                mark_chosen(axis, value, mean, style=style)
    reference = findings.chosen(plan.reference)
    if reference is not None:
        axis.axvline(reference, color=MUTED, lw=1, ls=(0, (4, 3)), zorder=0)
        axis.annotate(
            f"{plan.reference_label}’s best",
            (reference, 1.01),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=9,
            color=MUTED,
        )
    seeds = max((point.planned for point in findings.tuning), default=0)
    finish_by_value(
        axis,
        values=values,
        x_label=plan.parameter_name,
        y_label=f"{show.metric_name(plan.select)} (%)",
        note=f"{_mean_of(seeds)}, bars: 95% interval\nlarge open marker: chosen",
    )
    save(figure, path)


def mark_chosen(axis: Axes, value: float, mean: float, *, style: Style) -> None:
    """Draw a large open marker at the value that was chosen."""
    axis.plot(value, mean, style.marker, ms=12, mfc="none", mec=style.color, mew=1.8, zorder=5)


def _mean_of(seeds: int) -> str:
    return "one seed" if seeds == 1 else f"mean of {seeds} seeds"


def shifts(number: int, values: Sequence[float]) -> list[float]:
    """Return a factor near 1 for every curve, so that their error bars stand side by side."""
    if not logarithmic(values):
        return [1.0] * number
    return [float(factor) for factor in 10 ** np.linspace(-0.05, 0.05, number)]


def logarithmic(values: Sequence[float]) -> bool:
    """Return whether values span a decade or more, all positive."""
    return min(values) > 0 and max(values) >= 10 * min(values)


def line(
    axis: Axes,
    curve: Sequence[tuple[float, float, Interval | None]],
    *,
    style: Style,
    label: str,
) -> None:
    """Draw (value, mean, interval) as a line with error bars, as far as accuracies go."""
    if not curve:
        return
    values, means, intervals = zip(*curve, strict=True)
    bounds = [_within(interval, mean) for interval, mean in zip(intervals, means, strict=True)]
    axis.vlines(values, *zip(*bounds, strict=True), color=style.color, lw=1, alpha=0.7)
    axis.plot(
        values,
        means,
        color=style.color,
        marker=style.marker,
        ls=style.line,
        label=wrap(label),
        mec="white",
        mew=0.6,
    )


def _within(interval: Interval | None, mean: float) -> tuple[float, float]:
    low, high = interval or (mean, mean)
    return max(low, 0.0), min(high, 1.0)


def finish_by_value(
    axis: Axes, *, values: Sequence[float], x_label: str, y_label: str, note: str
) -> None:
    """Set the axes of accuracy against a parameter: logarithmic where it spans decades."""
    if logarithmic(values):
        axis.set_xscale("log")
        x_label += " (logarithmic)"
        ticks = sorted(set(values))
        if len(ticks) <= 12:
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axis.set_xticks([], minor=True)
    axis.set_ylim(0, 1.02)
    percent_axis(axis.yaxis)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    axis.grid(axis="y")
    axis.set_axisbelow(True)
    axis.legend(
        loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=3.4, title=note,
        title_fontsize=8.5, labelspacing=0.7,
    )  # fmt: skip


def learning_curves(findings: Findings, path: Path) -> None:
    """Validation accuracy against epoch, at the reference's value and at each arm's own."""
    plan = findings.plan
    titles = {rate: at_rate(plan, rate) for rate in plan.rates if rate != "scaled"}
    figure, axes = new_figure(2 + 4 * len(titles), 4.6, columns=len(titles), share_y=True)
    seeds = 0
    for axis, (rate, title) in zip(axes, titles.items(), strict=True):
        for arm, style in arm_styles(plan.arms).items():
            seeds = max(seeds, mean_curve(axis, findings, arm, rate, style=style))
        axis.set_title(title, loc="left")
        axis.set_xlabel("epoch")
        axis.set_xlim(left=0)
        axis.set_ylim(0, 1.02)
        percent_axis(axis.yaxis)
        axis.grid(axis="y")
    axes[0].set_ylabel(f"validation accuracy (%)\n{_mean_of(seeds)}, band: 95% interval")
    handles = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", handlelength=3.4,
        ncols=min(3, len(handles)),
    )  # fmt: skip
    save(figure, path)


def mean_curve(axis: Axes, findings: Findings, arm: str, rate: Rate, *, style: Style) -> int:
    """Draw an arm's mean validation accuracy against epoch; return over how many seeds."""
    names = [run.run for run in findings.plan.confirming(Side(arm, rate))]
    curves = _curves(findings, names, "val/accuracy")
    if curves is None:
        return 0
    epochs, values = curves
    axis.plot(
        epochs, values.mean(axis=0), color=style.color, ls=style.line, marker=style.marker,
        label=wrap(findings.plan.arms[arm].label), markevery=max(1, len(epochs) // 8),
        mec="white", mew=0.6,
    )  # fmt: skip
    bounds = [_within(t_interval(column), column.mean()) for column in values.T]
    low, high = np.array(bounds).T
    axis.fill_between(epochs, low, high, color=style.color, alpha=0.15, linewidth=0)
    return len(values)


def at_rate(plan: Plan, rate: Rate) -> str:
    """Return the title of what was trained at a rate."""
    if rate == "own":
        return f"Each at its own best {plan.parameter_name}"
    reference = f"{plan.reference_label}’s best {plan.parameter_name}"
    return f"All at {reference}" if rate == "reference" else f"At a multiple of {reference}"


def _curves(
    findings: Findings, names: Sequence[str], tag: str
) -> tuple[FloatArray, FloatArray] | None:
    """Return ``(E,)`` epochs and ``(S, E)`` values; a run that ended early keeps its last one."""
    recorded = [
        {record["epoch"]: record[tag] for record in findings.runs[name].evaluations
         if tag in record and "epoch" in record}
        for name in names
        if name in findings.runs and findings.runs[name].finished
    ]  # fmt: skip
    recorded = [records for records in recorded if records]
    epochs = sorted(set().union(*recorded)) if recorded else []
    if not epochs:
        return None
    rows = [[_last_until(records, epoch) for epoch in epochs] for records in recorded]
    return np.array(epochs), np.array(rows)


def _last_until(records: Mapping[float, float], epoch: float) -> float:
    known = [at for at in records if at <= epoch]
    return records[max(known)] if known else records[min(records)]
