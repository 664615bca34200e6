"""Accuracy while training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from losslab.report import formatting as show
from losslab.report.canvas import new_figure, percent_axis, save, wrap
from losslab.report.estimates import within_range
from losslab.report.findings import Findings
from losslab.report.plan import Plan, Rate, Side
from losslab.report.statistics import FloatArray, t_interval
from losslab.report.style import arm_styles
from losslab.styles import Style

_TAG = "val/accuracy"


def learning_curves(findings: Findings, path: Path) -> None:
    """Validation accuracy against epoch: a panel a rate, or a panel a condition."""
    plan = findings.plan
    rates: list[Rate] = [rate for rate in plan.rates if rate != "scaled"]
    panels: list[tuple[str, Findings, Rate]] = [
        (at_rate(plan, rate), findings, rate) for rate in rates
    ]
    if plan.conditions:
        at: Rate = "own" if "own" in rates else rates[0]
        panels = [
            (f"{plan.axis}: {condition.label}", findings.at(name), at)
            for name, condition in plan.conditions.items()
        ]
    figure, axes = new_figure(2 + 3.6 * len(panels), 4.6, columns=len(panels), share=True)
    seeds = 0
    for axis, (title, part, rate) in zip(axes, panels, strict=True):
        for arm, style in arm_styles(part.plan.arms).items():
            seeds = max(seeds, _mean_curve(axis, part, Side(arm, rate), style=style))
        axis.set_title(wrap(title, 36), loc="left")
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlim(left=0)
        axis.set_ylim(0, 1.02)
        percent_axis(axis.yaxis)
        axis.grid(axis="y")
    axes[0].set_ylabel(f"validation accuracy (%)\n{show.mean_of(seeds)}, band: 95% interval")
    handles = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", handlelength=3.4,
        ncols=min(2, len(panels)),  # a single panel is too narrow for two
    )  # fmt: skip
    save(figure, path)


def at_rate(plan: Plan, rate: Rate) -> str:
    """Return the title of what was trained at a rate."""
    if rate == "own":
        return f"Each at its own best {plan.parameter_name}"
    reference = f"{plan.reference_label}’s best {plan.parameter_name}"
    return f"All at {reference}" if rate == "reference" else f"At a multiple of {reference}"


def _mean_curve(axis: Axes, findings: Findings, side: Side, *, style: Style) -> int:
    """Draw a side's mean accuracy against epoch; return over how many seeds."""
    names = [run.run for run in findings.plan.confirming(side)]
    curves = _curves(findings, names, _TAG)
    if curves is None:
        return 0
    epochs, values = curves
    means = values.mean(axis=0)
    axis.plot(
        epochs, means, color=style.color, ls=style.line, marker=style.marker,
        label=findings.plan.arms[side.arm].label, markevery=max(1, len(epochs) // 8), mec="white",
        mew=0.6,
    )  # fmt: skip
    intervals = [within_range(t_interval(column), _TAG) for column in values.T]
    pairs = zip(intervals, means, strict=True)
    low, high = np.array([interval or (mean, mean) for interval, mean in pairs]).T
    axis.fill_between(epochs, low, high, color=style.color, alpha=0.15, linewidth=0)
    return len(values)


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
