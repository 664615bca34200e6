"""Figures of a study with conditions: one line an arm over the conditions, and small multiples."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losslab.report import formatting as show
from losslab.report.canvas import new_figure, percent_axis, save, wrap
from losslab.report.curves import at_rate, line, logarithmic, mean_curve, shifts
from losslab.report.findings import ACCURACY, Findings
from losslab.report.plan import Condition, Rate, in_condition
from losslab.report.style import Style, arm_styles

Draw = Callable[[Axes, Findings, Mapping[str, Style]], None]


def positions(conditions: Mapping[str, Condition]) -> tuple[list[float], bool]:
    """Return where each condition stands on the axis, and whether it has a scale."""
    given = [condition.position for condition in conditions.values()]
    known = [position for position in given if position is not None]
    if len(known) == len(given):
        return known, True
    return [float(index) for index in range(len(given))], False


def accuracy_by_condition(findings: Findings, path: Path) -> None:
    """Test accuracy of every arm over the conditions, one panel a rate."""
    plan = findings.plan
    figure, axes = new_figure(2.4 + 4 * len(plan.rates), 4.6, columns=len(plan.rates), share_y=True)
    styles = arm_styles(plan.families)
    at, scaled = positions(plan.conditions)
    logarithmic_axis = scaled and logarithmic(at)
    lowest = 1.0
    for axis, rate in zip(axes, plan.rates, strict=True):
        offsets = _shifts(len(styles), at, logarithmic_axis)
        for (arm, style), shift in zip(styles.items(), offsets, strict=True):
            curve = []
            for position, condition in zip(at, plan.conditions, strict=True):
                found = findings.measured[in_condition(arm, condition), rate, ACCURACY].estimate
                if found is not None:
                    x = position * shift if logarithmic_axis else position + shift
                    curve.append((x, found.mean, found.interval))
                    lowest = min(lowest, found.interval.low if found.interval else found.mean)
            # Conditions without a scale have nothing between them to draw a line through.
            drawn = style if scaled else style._replace(line="none")
            line(axis, curve, style=drawn, label=plan.families[arm].label)
        if logarithmic_axis:
            axis.set_xscale("log")
            axis.set_xticks([], minor=True)
        axis.set_xticks(at, [wrap(c.label, 14) for c in plan.conditions.values()])
        axis.set_xlabel(plan.axis)
        axis.set_title(wrap(at_rate(plan, rate), 40), loc="left")
        axis.grid(axis="y")
        axis.set_axisbelow(True)
    _from_floor(axes[0], lowest)
    axes[0].set_ylabel("test accuracy (%)\nmean over seeds, bars: 95% interval")
    _shared_legend(figure, axes)
    save(figure, path)


def _shifts(number: int, at: Sequence[float], logarithmic_axis: bool) -> list[float]:
    if logarithmic_axis:
        return shifts(number, at)
    gap = min((abs(a - b) for a in at for b in at if a != b), default=1.0)
    return [(index - (number - 1) / 2) * 0.06 * gap for index in range(number)]


def _from_floor(axis: Axes, lowest: float) -> None:
    """Show the whole scale where something is near chance, else what is above the lowest."""
    if lowest < 0.7:
        axis.set_ylim(0, 1.02)
        percent_axis(axis.yaxis)
        return
    axis.set_ylim(max(0.0, lowest - 0.02), 1.0)
    axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}")


def tuning_by_condition(findings: Findings, path: Path) -> None:
    """Validation accuracy over the tuning grid, one panel a condition."""
    plan = findings.plan

    def draw(axis: Axes, part: Findings, styles: Mapping[str, Style]) -> None:
        values = [point.value for point in part.tuning]
        for arm, style in styles.items():
            curve = [
                (point.value, point.mean, point.interval)
                for point in part.tuning
                if point.arm == arm and point.mean is not None
            ]
            line(axis, curve, style=style, label=part.plan.arms[arm].label)
            for value, mean, _ in curve:
                if value == part.chosen(arm):
                    axis.plot(
                        value, mean, style.marker, ms=11, mfc="none", mec=style.color, mew=1.6
                    )
        if values and logarithmic(values):
            axis.set_xscale("log")
        axis.set_xlabel(plan.parameter_name)

    _multiples(
        findings, path, draw, f"{show.metric_name(plan.select)} (%)\nlarge open marker: chosen"
    )


def learning_by_condition(findings: Findings, path: Path) -> None:
    """Validation accuracy against epoch at each arm's own value, one panel a condition."""
    rate: Rate = "own" if "own" in findings.plan.rates else "reference"

    def draw(axis: Axes, part: Findings, styles: Mapping[str, Style]) -> None:
        for arm, style in styles.items():
            mean_curve(axis, part, arm, rate, style=style)
        axis.set_xlabel("epoch")
        axis.set_xlim(left=0)

    _multiples(findings, path, draw, "validation accuracy (%)\nmean over seeds, band: 95% interval")


def _multiples(findings: Findings, path: Path, draw: Draw, y_label: str) -> None:
    plan = findings.plan
    columns = len(plan.conditions)
    figure, axes = new_figure(1.5 + 3.1 * columns, 4.2, columns=columns, share_y=True)
    for axis, (name, condition) in zip(axes, plan.conditions.items(), strict=True):
        part = findings.at(name)
        draw(axis, part, arm_styles(part.plan.arms))
        axis.set_title(wrap(f"{plan.axis}: {condition.label}", 30), loc="left")
        axis.set_ylim(0, 1.02)
        percent_axis(axis.yaxis)
        axis.grid(axis="y")
        axis.set_axisbelow(True)
    axes[0].set_ylabel(y_label)
    _shared_legend(figure, axes)
    save(figure, path)


def _shared_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    handles = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", handlelength=3.4,
        ncols=min(3, max(1, len(handles))),
    )  # fmt: skip
