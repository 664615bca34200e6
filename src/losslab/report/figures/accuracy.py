"""Figures of accuracy: at the chosen values, over the grid, and while training."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from losslab.figures import Curve, Drawing, Panel, Style
from losslab.figures.canvas import INK, MUTED, new_figure, round_steps, styled, wrap
from losslab.figures.panels import draw_panels, logarithmic
from losslab.report import formatting as show
from losslab.report.estimates import Estimate
from losslab.report.figures.axes import (
    arm_styles,
    draw_estimate,
    name_rows,
    positions,
    side_by_side,
    write_beside,
)
from losslab.report.findings import ACCURACY, Findings
from losslab.report.over_seeds import means_over_seeds
from losslab.report.plan import Plan, Rate, Side, in_condition
from losslab.report.tuning import TuningPoint

_SEEDS_FOR_BARS, _PANELS_A_ROW = 3, 4
_PANEL_TITLE = 28  # characters
_ZOOM_ABOVE = 0.7  # axes zoom in if three quarters of the accuracies are above it


@styled
def accuracy(findings: Findings) -> Figure:
    """Test accuracy at the reference's best value and at each arm's own, side by side."""
    plan, reference = findings.plan, findings.chosen(findings.plan.reference)
    columns, count = len(plan.rates), len(plan.arms)
    figure, axes = new_figure(2 + 4 * columns, 1.6 + 0.5 * count, columns=columns, share=True)
    estimates = [each.estimate for key, each in findings.measured.items() if key[2] == ACCURACY]
    start = _start([estimate for estimate in estimates if estimate])
    for axis, rate in zip(axes, plan.rates, strict=True):
        for place, (arm, style) in enumerate(arm_styles(plan.arms).items()):
            measured = findings.measured[arm, rate, ACCURACY]
            if (found := measured.estimate) is None:
                # Not every arm is confirmed at a multiple of the reference's value.
                absent = measured.planned == 0 and rate == "scaled" and plan.confirm
                write_beside(axis, place, "" if absent else "not measured yet", color=MUTED)
                continue
            text = show.number(ACCURACY, found.mean)
            text += f"  {show.interval(ACCURACY, found.interval)}" if found.interval else ""
            value = findings.chosen(arm) if rate == "own" else None
            at = "" if value is None else f"\nat {value:g}"
            if 100 * found.mean < start:
                axis.plot(start, place, "<", color=style.color, ms=8, mew=0.6, clip_on=False)
            else:
                draw_estimate(axis, place, found.mean, found.interval, factor=100, style=style)
            write_beside(axis, place, f"{text}, n = {found.n}{at}")
        at = f", {reference:g}" if reference is not None and rate == "reference" else ""
        axis.set_title(wrap(at_rate(plan, rate) + at, 34))
        axis.grid(axis="x")
    axes[0].margins(x=0.06)
    axes[0].set_xlim(left=max(start, axes[0].get_xlim()[0]))
    axes[0].xaxis.set_major_locator(round_steps())
    name_rows(axes, [wrap(arm.label) for arm in plan.arms.values()])
    label = "test accuracy (%), mean over seeds and 95% interval"
    label += "  (◂: lower)" * any(each and 100 * each.mean < start for each in estimates)
    figure.supxlabel(label, fontsize=10, color=INK)
    return figure


@styled
def accuracy_by_condition(findings: Findings) -> Figure:
    """Test accuracy over the conditions; one curve per arm, one panel per rate."""
    plan, styles = findings.plan, arm_styles(findings.plan.families)
    at, labels, decades, scaled = positions(plan)
    ticks = list(zip(labels, at, strict=True))
    panels = []
    for index, rate in enumerate(plan.rates):
        curves = []
        places = side_by_side(at, len(styles), decades=decades)
        for (arm, style), row in zip(styles.items(), places, strict=True):
            cells = [in_condition(arm, condition) for condition in plan.conditions]
            found = [findings.measured[cell, rate, ACCURACY].estimate for cell in cells]
            points = {place: each for place, each in zip(row, found, strict=True) if each}
            if points:
                line = style if scaled else style._replace(line="none")
                curves.append(with_bars(points, style=line, label=plan.families[arm].label))
        panels.append(
            Panel(
                title=at_rate(plan, rate),
                x_label=plan.axis,
                curves=curves,
                x_log=decades,
                y_label="" if index else "test accuracy (%)\nmean over seeds, bars: 95% interval",
                percent="shown",
                ticks=ticks,
            )
        )
    size = (2.4 + 4 * len(panels), 4.6)
    return draw_panels(
        Drawing(panels=panels, size=size, share="y", legend_below=True, title_width=40)
    )


def accuracy_by_value(findings: Findings) -> Figure:
    """Validation accuracy over the grid, chosen points marked; a panel per arm or condition."""
    plan, styles = findings.plan, arm_styles(findings.plan.families)
    points: dict[str, dict[float, TuningPoint]] = {}
    for point in findings.tuning:
        if point.mean is not None:
            points.setdefault(point.arm, {})[point.value] = point
    seeds = max((point.planned for point in findings.tuning), default=0)

    def curve(arm: str, **more: Any) -> Curve:
        drawn = with_bars(points[arm], style=styles[arm.partition("@")[0]], **more)
        # With fewer seeds, intervals would span the panel.
        return drawn if seeds >= _SEEDS_FOR_BARS else replace(drawn, low=None, high=None)

    panels = []
    titles = [f"{plan.axis}: {about.label}" for about in plan.conditions.values()]
    too_long = max(map(len, titles), default=0) > _PANEL_TITLE
    for (condition, about), title in zip(plan.conditions.items(), titles, strict=True):
        curves = [
            curve(arm, ring=findings.chosen(arm), label=plan.arms[arm].label)
            for arm in filter(points.get, plan.under(condition))
        ]
        panels.append(Panel(title=about.label if too_long else title, curves=curves))
    alone = [] if plan.conditions else [arm for arm in plan.arms if arm in points]
    for arm in alone:
        curves = [curve(arm, ring=findings.chosen(arm))]
        if arm != plan.reference and plan.reference in points:
            grey = with_bars(points[plan.reference], style=Style("#BFBFBF", "", "-"))
            curves.insert(0, replace(grey, low=None, high=None))
        chosen = findings.chosen(plan.reference)
        marks = () if chosen is None else (chosen,)
        panels.append(Panel(title=plan.label(arm), curves=curves, marks=marks))
    notes = [f"panels: {plan.axis}"] * too_long + [
        show.mean_of(seeds),
        "ring: chosen or given" if plan.given else "ring: chosen",
        "▾ at the edge: lower",
    ]
    notes += ["bars: 95% interval"] if seeds >= _SEEDS_FOR_BARS else []
    if not plan.conditions:
        notes.append(f"grey, dashed: {plan.reference_label} and its {plan.parameter_name}")
    y_label, columns = f"{show.metric_name(plan.common_select)} (%)", 4 if plan.conditions else 3
    labels = {"x_label": plan.parameter_name, "y_label": y_label, "note": "; ".join(notes)}
    return by_value(panels, columns=columns, **labels)


@styled
def by_value(
    panels: Sequence[Panel], *, x_label: str, y_label: str, note: str, columns: int = 3
) -> Figure:
    """Draw accuracy over the values of a parameter, all panels with the same axes."""
    columns = min(columns, len(panels))
    log = logarithmic([x for panel in panels for curve in panel.curves for x in curve.x])
    curves = [curve for panel in panels for curve in panel.curves]
    # By each curve's maximum, since grids extend to values at which training fails, but not from
    # far below the lowest of all.
    lowest = min((min(curve.low or curve.y) for curve in curves), default=0.0)
    y_from = max(zoom([max(curve.y) for curve in curves], room=2.5), lowest - 0.005)
    labels = {curve.label for panel in panels for curve in panel.curves} - {""}
    height = 1.4 + 2.3 * -(-len(panels) // columns) + 0.3 * len(labels)
    panels = [replace(p, x_log=log, percent="shown", y_from=y_from, ticks="values") for p in panels]
    drawing = Drawing(
        panels=panels,
        columns=columns,
        share=True,
        legend_below=bool(labels),
        title_width=_PANEL_TITLE,
        size=(max(1.6 + 2.8 * columns, 6.0 if labels else 0.0), height),
        x_label=f"{x_label}{' (logarithmic)' * log}\n{note}",
        y_label=y_label,
    )
    return draw_panels(drawing)


def _start(estimates: Sequence[Estimate]) -> float:
    """Return where an axis in percent begins, with room for intervals that are not too wide."""
    start = zoom([each.mean for each in estimates])
    if not start:
        return 0.0
    above = [each for each in estimates if each.mean >= start]
    lowest = min(each.interval.low if each.interval else each.mean for each in above)
    return 100 * min(start, max(lowest - 0.002, start - (1 - start) / 2))


def zoom(values: Sequence[float], *, room: float = 1.6) -> float:
    """Return where an axis of accuracies begins, so that one point of difference is visible."""
    low = float(np.quantile(values, 0.25)) if len(values) else 0.0
    return min(max(0.0, 1 - room * (1 - low)), 0.98) if low > _ZOOM_ABOVE else 0.0


def with_bars(
    points: Mapping[float, Estimate | TuningPoint], *, style: Style, **more: Any
) -> Curve:
    """Return estimates by position as a curve with bars."""
    means = [point.mean for point in points.values() if point.mean is not None]
    ends = [p.interval or (mean, mean) for p, mean in zip(points.values(), means, strict=True)]
    low, high = map(list, zip(*ends, strict=True))
    return Curve(x=list(points), y=means, low=low, high=high, bars=True, style=style, **more)


@styled
def learning_curves(findings: Findings) -> Figure:
    """Validation accuracy against epoch; one panel per rate or per condition."""
    plan = findings.plan
    rates: list[Rate] = [rate for rate in plan.rates if rate != "scaled"]
    shown = [(at_rate(plan, rate), "", rate) for rate in rates]
    if plan.conditions:
        at: Rate = "own" if "own" in rates else rates[0]
        shown = [(f"{plan.axis}: {c.label}", name, at) for name, c in plan.conditions.items()]
    drawn: dict[str, list[tuple[int, Curve]]] = {}
    for title, condition, rate in shown:
        styles = arm_styles(plan.under(condition))
        means = [_mean_curve(findings, Side(arm, rate), style=s) for arm, s in styles.items()]
        drawn[title] = list(filter(None, means))
    seeds = max((n for found in drawn.values() for n, _ in found), default=0)
    y_label = f"validation accuracy (%)\n{show.mean_of(seeds)}, band: 95% interval"
    columns, panels = min(len(drawn), _PANELS_A_ROW), []
    for index, (title, found) in enumerate(drawn.items()):
        curves = [curve for _, curve in found]
        # Ignore the first third of training, which would hide later differences.
        y_from = zoom([y for curve in curves for y in curve.y[len(curve.y) // 3 :]])
        below = any(curve.y[-1] < y_from for curve in curves)
        panel = Panel(
            title=title,
            x_label=f"epoch{'  (▾: ends below)' * below}",
            y_label="" if index % columns else y_label,
            curves=curves,
            percent="shown",
            y_from=y_from,
            ticks="counts",
        )
        panels.append(panel)
    rows = -(-len(panels) // columns)
    size = (2 + 3.6 * columns, 1.2 + 3.4 * rows)
    return draw_panels(
        Drawing(panels=panels, columns=columns, size=size, legend_below=True, title_width=36)
    )


def _mean_curve(findings: Findings, side: Side, *, style: Style) -> tuple[int, Curve] | None:
    """Return the number of seeds, and the curve of mean accuracy over epochs."""
    planned = [findings.runs.get(run.run) for run in findings.plan.confirming(side)]
    runs = [run for run in planned if run and run.finished]
    means = means_over_seeds(runs, ["val/accuracy"], over="epoch")
    if not means.tags:
        return None
    mean, low, high = means.values.tolist()
    return len(runs), Curve(
        label=findings.plan.arms[side.arm].label,
        x=means.x.tolist(),
        y=mean,
        low=low,
        high=high,
        style=style,
        mark_every=max(1, len(mean) // 8),
    )


def at_rate(plan: Plan, rate: Rate) -> str:
    """Return the title of a panel for arms at a rate."""
    if rate == "own":
        return f"Each at its own best {plan.parameter_name}"
    reference = plan.reference_parameter
    return f"All at {reference}" if rate == "reference" else f"At a multiple of {reference}"
