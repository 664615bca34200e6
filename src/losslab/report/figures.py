"""The figures of studies and sweeps. Imported only to draw, as matplotlib takes seconds."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import ScaledTranslation

from losslab.figures import Curve, Drawing, Panel, Style, styles_of
from losslab.figures.canvas import (
    INK,
    MUTED,
    PALE,
    new_figure,
    round_steps,
    save,
    styled,
    tick_width,
    wrap,
)
from losslab.figures.panels import draw_panels, legend_columns, logarithmic
from losslab.files import is_generated
from losslab.report import formatting as show
from losslab.report.claims import Judgement
from losslab.report.estimates import Comparison, Estimate, TuningPoint
from losslab.report.findings import ACCURACY, Findings, Sweep, by_loss
from losslab.report.over_seeds import means_over_seeds
from losslab.report.plan import Arm, Plan, Rate, Side, in_condition
from losslab.report.statistics import Interval
from losslab.report.sweep_report import FIGURE, RATE, configuration_text

_SEEDS_FOR_BARS, _PANELS_A_ROW = 3, 4
_MOST_CURVES = 14  # that can be told apart in one panel
_CLOSE_UP = 2.5  # percentage points
_PANEL_TITLE = 28  # characters
_CLOSE = 0.7  # axes zoom in if three quarters of the accuracies are above it
# Beyond this many smallest effects a linear axis would hide the smallest effect itself.
_LINEAR_UP_TO = 12
_FIGURES_OF_A_STUDY = (
    "accuracy.png",
    "gap.png",
    "specification_curve.png",
    "accuracy_by_value.png",
    "learning_curves.png",
    "claims.png",
)


def draw_study(findings: Findings, folder: Path) -> list[Path]:
    """Draw every figure that has data into a folder, remove outdated ones; return the files."""
    plan = findings.plan
    confirmed = any(measured.estimate for measured in findings.measured.values())
    values = Counter(point.arm for point in findings.tuning if point.mean is not None)
    figures: dict[str, Callable[[Findings], Figure]] = {}
    if plan.choices:  # universes: one panel each would be dozens
        if findings.gaps:
            figures["specification_curve.png"] = specification_curve
    else:
        if confirmed:
            figures["accuracy.png"] = accuracy_by_condition if plan.conditions else accuracy
        if findings.gaps and plan.conditions:
            figures["gap.png"] = gap_by_condition
        if max(values.values(), default=0) > 1:
            figures["accuracy_by_value.png"] = accuracy_by_value
        if confirmed and len(plan.families) <= _MOST_CURVES:
            figures["learning_curves.png"] = learning_curves
    if any(map(_can_be_drawn, findings.judgements)):
        figures["claims.png"] = claims
    for name in _FIGURES_OF_A_STUDY:
        if name not in figures:
            _remove(folder / name)
    return [save(draw(findings), folder / name) for name, draw in figures.items()]


def draw_sweep(found: Sweep, folder: Path) -> list[Path]:
    """Draw accuracy against the learning rate if a curve has two points; return the files."""
    curves: dict[str, dict[float, Estimate]] = {}
    losses = {}
    for configuration in sorted(found.configurations, key=by_loss):
        rate, level = configuration.varied.get(RATE), configuration.measured[ACCURACY].estimate
        if isinstance(rate, int | float) and level:
            name = configuration_text(found, configuration)
            curves.setdefault(name, {})[float(rate)] = level
            losses[name] = configuration.loss
    if all(len(points) < 2 for points in curves.values()):
        _remove(folder / FIGURE)
        return []
    styles = styles_of(losses)
    panels = [
        Panel(title=name, curves=[_curve(dict(sorted(points.items())), style=styles[name])])
        for name, points in curves.items()
    ]
    note = "mean over seeds, bars: 95% interval"
    figure = _by_value(panels, x_label="learning rate", y_label="test accuracy (%)", note=note)
    return [save(figure, folder / FIGURE)]


def _remove(path: Path) -> None:
    """Remove the figure of an earlier report."""
    if is_generated(path):
        path.unlink()


@styled
def accuracy(findings: Findings) -> Figure:
    """Test accuracy at the reference's best value and at each arm's own, side by side."""
    plan, reference = findings.plan, findings.chosen(findings.plan.reference)
    columns, count = len(plan.rates), len(plan.arms)
    figure, axes = new_figure(2 + 4 * columns, 1.6 + 0.5 * count, columns=columns, share=True)
    for axis, rate in zip(axes, plan.rates, strict=True):
        for place, (arm, style) in enumerate(arm_styles(plan.arms).items()):
            measured = findings.measured[arm, rate, ACCURACY]
            if (found := measured.estimate) is None:
                # Not every arm is confirmed at a multiple of the reference's value.
                absent = measured.planned == 0 and rate == "scaled" and plan.confirm
                _beside(axis, place, "" if absent else "not measured yet", color=MUTED)
                continue
            text = show.number(ACCURACY, found.mean)
            text += f"  {show.interval(ACCURACY, found.interval)}" if found.interval else ""
            value = findings.chosen(arm) if rate == "own" else None
            at = "" if value is None else f"\nat {value:g}"
            _estimate(axis, place, found.mean, found.interval, factor=100, style=style)
            _beside(axis, place, f"{text}, n = {found.n}{at}")
        at = f", {reference:g}" if reference is not None and rate == "reference" else ""
        axis.set_title(wrap(at_rate(plan, rate) + at, 34))
        axis.grid(axis="x")
    axes[0].margins(x=0.06)
    axes[0].xaxis.set_major_locator(round_steps())
    _name_rows(axes, [wrap(arm.label) for arm in plan.arms.values()])
    label = "test accuracy (%), mean over seeds and 95% interval"
    figure.supxlabel(label, fontsize=10, color=INK)
    return figure


def _estimate(
    axis: Axes, place: int, mean: float, bounds: Interval | None, *, factor: float, style: Style
) -> None:
    ends = [factor * end for end in bounds or (mean, mean)]
    axis.plot(ends, [place] * 2, color=style.color, lw=2.2, solid_capstyle="butt")
    axis.plot(factor * mean, place, style.marker, color=style.color, ms=8, mew=0.6)


def _beside(
    axis: Axes,
    place: int,
    text: str,
    *,
    up: float = 0,
    va: str = "center",
    color: str = INK,
    weight: str = "normal",
) -> None:
    """Write to the right of a row, ``up`` points above its middle."""
    axis.annotate(
        text,
        (1.02, place),
        xycoords=("axes fraction", "data"),
        xytext=(0, up),
        textcoords="offset points",
        va=va,
        color=color,
        fontweight=weight,
        fontsize=9,
    )


def _name_rows(axes: Sequence[Axes], names: Sequence[str], size: float = 10) -> None:
    """Label the rows of estimates, top to bottom, to the left of the first axes."""
    axes[0].set_yticks(range(len(names)), names, fontsize=size, color=INK)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    for axis in axes:
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)


def accuracy_by_value(findings: Findings) -> Figure:
    """Validation accuracy over the grid, chosen points marked; a panel per arm or condition."""
    plan, styles = findings.plan, arm_styles(findings.plan.families)
    points: dict[str, dict[float, TuningPoint]] = {}
    for point in findings.tuning:
        if point.mean is not None:
            points.setdefault(point.arm, {})[point.value] = point
    seeds = max((point.planned for point in findings.tuning), default=0)

    def curve(arm: str, **more: Any) -> Curve:
        drawn = _curve(points[arm], style=styles[arm.partition("@")[0]], **more)
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
            grey = _curve(points[plan.reference], style=Style("#BFBFBF", "", "-"))
            curves.insert(0, replace(grey, low=None, high=None))
        chosen = findings.chosen(plan.reference)
        marks = () if chosen is None else (chosen,)
        panels.append(Panel(title=plan.label(arm), curves=curves, marks=marks))
    notes = [f"panels: {plan.axis}"] * too_long + [
        show.mean_of(seeds),
        "ring: chosen",
        "▾ at the edge: lower",
    ]
    notes += ["bars: 95% interval"] if seeds >= _SEEDS_FOR_BARS else []
    if not plan.conditions:
        notes.append(f"grey, dashed: {plan.reference_label} and its choice")
    y_label, columns = f"{show.metric_name(plan.common_select)} (%)", 4 if plan.conditions else 3
    labels = {"x_label": plan.parameter_name, "y_label": y_label, "note": "; ".join(notes)}
    return _by_value(panels, columns=columns, **labels)


@styled
def _by_value(
    panels: Sequence[Panel], *, x_label: str, y_label: str, note: str, columns: int = 3
) -> Figure:
    """Draw accuracy over the values of a parameter, all panels with the same axes."""
    columns = min(columns, len(panels))
    log = logarithmic([x for panel in panels for curve in panel.curves for x in curve.x])
    # By what each curve reaches: a grid goes on to where training fails.
    y_from = _zoom([max(curve.y) for panel in panels for curve in panel.curves], room=2.5)
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


def _zoom(values: Sequence[float], *, room: float = 1.6) -> float:
    """Return where an axis of accuracies begins, so that one point of difference is visible."""
    low = float(np.quantile(values, 0.25)) if len(values) else 0.0
    return min(max(0.0, 1 - room * (1 - low)), 0.98) if low > _CLOSE else 0.0


def _curve(points: Mapping[float, Estimate | TuningPoint], *, style: Style, **more: Any) -> Curve:
    """Return estimates by position as a curve with bars."""
    means = [point.mean for point in points.values() if point.mean is not None]
    ends = [p.interval or (mean, mean) for p, mean in zip(points.values(), means, strict=True)]
    low, high = map(list, zip(*ends, strict=True))
    return Curve(x=list(points), y=means, low=low, high=high, bars=True, style=style, **more)


@styled
def accuracy_by_condition(findings: Findings) -> Figure:
    """Test accuracy over the conditions; one curve per arm, one panel per rate."""
    plan, styles = findings.plan, arm_styles(findings.plan.families)
    at, labels, decades, scaled = _positions(plan)
    ticks = list(zip(labels, at, strict=True))
    panels = []
    for index, rate in enumerate(plan.rates):
        curves = []
        places = _side_by_side(at, len(styles), decades=decades)
        for (arm, style), row in zip(styles.items(), places, strict=True):
            cells = [in_condition(arm, condition) for condition in plan.conditions]
            found = [findings.measured[cell, rate, ACCURACY].estimate for cell in cells]
            points = {place: each for place, each in zip(row, found, strict=True) if each}
            if points:
                line = style if scaled else style._replace(line="none")
                curves.append(_curve(points, style=line, label=plan.families[arm].label))
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


@styled
def gap_by_condition(findings: Findings) -> Figure:
    """Each arm's paired difference from the reference over the conditions, with every seed."""
    plan = findings.plan
    styles = arm_styles(plan.families)
    del styles[plan.reference]
    at, labels, decades, scaled = _positions(plan)
    far = _farthest(findings.gaps.values()) > 2 * _CLOSE_UP
    figure, axes = new_figure(13 if far else 10, 5.6, columns=2 if far else 1)
    for axis, limits in zip(axes, _limits(findings.gaps.values()), strict=False):
        axis.axhline(0, color=MUTED, lw=1)
        rows = _side_by_side(at, len(styles), decades=decades)
        for (family, style), places in zip(styles.items(), rows, strict=True):
            gaps = [findings.gaps.get(in_condition(family, name)) for name in plan.conditions]
            by_place = {place: gap for place, gap in zip(places, gaps, strict=True) if gap}
            style = style if scaled else style._replace(line="none")
            _gaps(axis, by_place, style, plan.families[family].label, limits=limits)
        axis.set_ylim(*limits)
        if decades:
            axis.set_xscale("log")
        axis.set_xticks(at, [wrap(label, tick_width(len(at))) for label in labels])
        axis.set_xticks([], minor=True)
        axis.set_xlabel(plan.axis)
        axis.yaxis.set_major_formatter(_signed_tick)
        axis.grid(axis="y")
    axes[0].set_ylabel(
        f"test accuracy less that of {plan.reference_label}\n(points; bars: 95% interval, "
        "dots: seeds, ▾ ▴: beyond)"
    )
    axes[-1].axhspan(-1, 1, color=PALE, zorder=0)
    axes[-1].set_title("Shaded: within one point")
    if far:
        axes[0].set_title("All")
        axes[1].set_title(f"Between −{_CLOSE_UP:g} and +{_CLOSE_UP:g} points; shaded: within one")
    handles, names = axes[0].get_legend_handles_labels()
    columns = legend_columns(names, width=13 if far else 10)
    figure.legend(handles, names, loc="outside lower center", ncols=columns, handlelength=3.4)
    return figure


def _signed_tick(value: float, _: float) -> str:
    return f"{value:+g}".replace("-", "−") if value else "0"


def _farthest(gaps: Iterable[Comparison]) -> float:
    """Return the largest end of an interval, in percentage points."""
    return max((abs(100 * end) for gap in gaps for end in gap.interval or ()), default=0.0)


def _limits(gaps: Collection[Comparison]) -> list[tuple[float, float]]:
    """Return the limits of an axis that shows every interval, and of a close-up, in points.

    Single seeds may lie beyond, as one lost class would squeeze everything else into a line.
    """
    ends = [100 * end for gap in gaps for end in gap.interval or (gap.difference,)]
    low, high = min(ends, default=0.0), max(ends, default=0.0)
    margin = max(0.08 * (high - low), 0.1)
    return [(min(low, -1) - margin, max(high, 1) + margin), (-_CLOSE_UP, _CLOSE_UP)]


def _gaps(
    axis: Axes,
    gaps: Mapping[float, Comparison],
    style: Style,
    label: str,
    *,
    limits: tuple[float, float],
) -> None:
    """Draw differences by place, with their intervals and seeds, in percentage points.

    Beyond the limits a seed is a small pale triangle at the edge, and a mean a large solid one.
    """
    color = style.color
    beside = ScaledTranslation(4 / 72, 0, axis.figure.dpi_scale_trans)  # the bar would hide them
    for place, gap in gaps.items():
        seeds = [100 * value for value in gap.by_seed.values()]
        within = [value for value in seeds if limits[0] <= value <= limits[1]]
        dots: dict[str, Any] = {
            "color": color,
            "alpha": 0.45,
            "mew": 0,
            "transform": axis.transData + beside,
        }
        axis.plot([place] * len(within), within, ".", ms=5, **dots)
        for edge, marker in _beyond(seeds, limits):
            axis.plot(place, edge, marker, ms=4, clip_on=False, **dots)
        low, high = (100 * end for end in gap.interval or (gap.difference, gap.difference))
        axis.plot([place] * 2, [low, high], color=color, lw=2, solid_capstyle="butt")
        for edge, marker in _beyond([100 * gap.difference], limits):
            axis.plot(place, edge, marker, ms=7, color=color, clip_on=False, zorder=4)
    axis.plot(
        list(gaps),
        [100 * gap.difference for gap in gaps.values()],
        color=color,
        marker=style.marker,
        ls=style.line,
        ms=6,
        lw=1.4,
        label=label,
    )


def _beyond(values: Sequence[float], limits: tuple[float, float]) -> list[tuple[float, str]]:
    """Return the edges of an axis beyond which values lie, each with its triangle's marker."""
    low, high = limits
    beyond = [
        (low, "v", min(values, default=low) < low),
        (high, "^", max(values, default=low) > high),
    ]
    return [(edge, marker) for edge, marker, any_value in beyond if any_value]


@styled
def specification_curve(findings: Findings) -> Figure:
    """Each arm's difference from the reference in each universe, sorted, above its choices.

    After Simonsohn, Simmons & Nelson 2020, *Specification curve analysis*.
    """
    plan, styles = findings.plan, arm_styles(findings.plan.families)
    curve = sorted(findings.gaps.items(), key=lambda item: item[1].difference)
    arms = [name.partition("@")[0] for name, _ in curve]
    places = {name: [i for i, arm in enumerate(arms) if arm == name] for name in styles}
    conditions = [plan.conditions[plan.arms[name].condition] for name, _ in curve]
    made = [
        {"loss": arm, **(about.choices or {})} for arm, about in zip(arms, conditions, strict=True)
    ]
    rows = [("loss", name) for name in styles if places[name]]
    rows += [(choice, level) for choice, levels in plan.choices.items() for level in levels]
    figure, axes = new_figure(12, 6.4 + 0.2 * len(rows), heights=[3, 3, 0.22 * len(rows)])
    for axis, limits in zip(axes, _limits(findings.gaps.values()), strict=False):
        axis.axhspan(-1, 1, color=PALE, zorder=0)
        axis.axhline(0, color=MUTED, lw=1)
        for name, at in places.items():
            gaps = {float(place): curve[place][1] for place in at}
            if gaps:
                style = styles[name]._replace(line="none")
                _gaps(axis, gaps, style, plan.families[name].label, limits=limits)
        axis.set_ylim(*limits)
        axis.grid(axis="y")
        axis.yaxis.set_major_locator(round_steps())
    axes[0].set_title("All universes, sorted; shaded: within one point")
    axes[0].set_ylabel(f"test accuracy less that\nof {plan.reference_label} (points)")
    axes[1].set_title(f"Between −{_CLOSE_UP:g} and +{_CLOSE_UP:g} points")
    axes[1].set_ylabel("bars: 95% interval\ndots: seeds; ▾ ▴: beyond")
    below = axes[2]
    for row, (choice, level) in enumerate(rows):
        chosen = [i for i, levels in enumerate(made) if levels[choice] == level]
        colors = [styles[arms[i]].color for i in chosen]
        below.scatter(chosen, [row] * len(chosen), s=14, marker="|", lw=2.4, color=colors)
    for row in (row for row in range(1, len(rows)) if rows[row][0] != rows[row - 1][0]):
        below.axhline(row - 0.5, color=PALE, lw=1)
    names = [
        plan.families[level].label if choice == "loss" else level.replace("_", " ")
        for choice, level in rows
    ]
    _name_rows([below], names, 9)
    for axis in axes:
        axis.set_xlim(-1, len(curve))
        axis.set_xticks([])
        axis.spines["bottom"].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, handlelength=1.5)
    return figure


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
        curves = [_mean_curve(findings, Side(arm, rate), style=s) for arm, s in styles.items()]
        drawn[title] = list(filter(None, curves))
    seeds = max((n for found in drawn.values() for n, _ in found), default=0)
    y_label = f"validation accuracy (%)\n{show.mean_of(seeds)}, band: 95% interval"
    columns, panels = min(len(drawn), _PANELS_A_ROW), []
    for index, (title, found) in enumerate(drawn.items()):
        # Ignore the first third of training, which would hide later differences.
        y_from = _zoom([y for _, curve in found for y in curve.y[len(curve.y) // 3 :]])
        panel = Panel(
            title=title,
            x_label="epoch",
            y_label="" if index % columns else y_label,
            curves=[curve for _, curve in found],
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


@styled
def claims(findings: Findings) -> Figure:
    """Each claim's number against its prediction: differences by metric, then quantities.

    Exact and infinite numbers are not drawn; the table has them.
    """
    by_metric: dict[str, list[Judgement]] = {}
    for judgement in findings.differences:
        by_metric.setdefault(judgement.claim.metric, []).append(judgement)
    quantities = list(filter(_can_be_drawn, findings.quantities))
    heights = [0.62 * len(judgements) + 1.0 for judgements in by_metric.values()]
    heights += [0.8] * len(quantities)
    figure, axes = new_figure(10, sum(heights), heights=heights)
    styles = arm_styles(findings.plan.families)
    for axis, judgements in zip(axes, by_metric.values(), strict=False):
        _forest(axis, judgements, findings=findings, styles=styles)
    for axis, judgement in zip(axes[len(by_metric) :], quantities, strict=True):
        _quantity(axis, judgement)
    return figure


def _can_be_drawn(judgement: Judgement) -> bool:
    number = judgement.quantity.value if judgement.quantity else 0.0
    return bool(judgement.interval) and not judgement.exact and math.isfinite(number)


def _quantity(axis: Axes, judgement: Judgement) -> None:
    """Draw one quantity on its own axis, with the predicted range shaded."""
    found, predicted = judgement.quantity, judgement.claim.predicted
    assert found is not None
    shown = list(filter(math.isfinite, (*found.interval, found.value, *predicted)))
    margin = 0.15 * (max(shown) - min(shown)) or 0.5
    left, right = min(shown) - margin, max(shown) + margin
    bounds = Interval(max(found.interval.low, left), min(found.interval.high, right))
    _estimate(axis, 0, found.value, bounds, factor=1, style=Style(INK, "o", "-"))
    low, high = max(predicted.low, left), min(predicted.high, right)
    axis.add_patch(Rectangle((low, -0.38), high - low, 0.76, color=PALE, lw=0, zorder=0))
    axis.set_xlim(left, right)
    axis.xaxis.set_major_locator(round_steps())
    _beside(axis, 0, judgement.verdict, up=1, va="bottom", weight="bold")
    _beside(axis, 0, f"{show.quantity(found)}, n = {found.n}", up=-1, va="top", color=MUTED)
    _name_rows([axis], [wrap(judgement.claim.statement, 50)], 9)


def _forest(
    axis: Axes, judgements: Sequence[Judgement], *, findings: Findings, styles: Mapping[str, Style]
) -> None:
    """Draw the differences in one metric, with the predicted ranges shaded."""
    metric = judgements[0].claim.metric
    factor, _ = show.scale(metric)
    smallest = factor * max(each.claim.smallest_effect for each in judgements)
    reach = 2 * smallest
    axis.axvline(0, color=MUTED, lw=1, zorder=1)
    for place, judgement in enumerate(judgements):
        claim, found = judgement.claim, judgement.comparison
        lines = [judgement.reason] if judgement.reason else []
        if found is not None:
            lines.insert(0, f"{show.difference(metric, found)}, n = {found.n}")
            if bounds := found.interval:
                style = styles[claim.sides[0].arm.partition("@")[0]]
                _estimate(axis, place, found.difference, bounds, factor=factor, style=style)
                reach = max(reach, *(abs(factor * end) for end in bounds))
        if findings.at_edge(claim):
            lines.append("best value at the edge of its grid")
        middle = 6.0 * max(0, len(lines) - 1)
        _beside(axis, place, judgement.verdict, up=middle + 1, va="bottom", weight="bold")
        _beside(axis, place, "\n".join(lines), up=middle - 1, va="top", color=MUTED)
    linear = _scale(axis, reach=reach, smallest=smallest)
    for place, judgement in enumerate(judgements):
        left, right = (
            factor * end if math.isfinite(end) else limit
            for end, limit in zip(judgement.claim.predicted, axis.get_xlim(), strict=True)
        )
        shade = Rectangle((left, place - 0.38), right - left, 0.76, color=PALE, lw=0, zorder=0)
        axis.add_patch(shade)
    _name_rows([axis], [wrap(each.claim.statement, 50) for each in judgements], 9)
    unit = show.unit(metric, difference=True).strip()
    unit = f" ({'percentage points' if unit == 'pp' else unit})" if unit else ""
    beyond = "" if linear else f"; logarithmic beyond ±{2 * smallest:g}"
    axis.set_xlabel(
        f"difference in {show.metric_name(metric)}{unit} and 95% interval\n"
        f"shaded: what the claim predicts{beyond}"
    )


def _scale(axis: Axes, *, reach: float, smallest: float) -> bool:
    """Scale an axis so that the smallest effect is visible; return whether it is linear."""
    if reach <= _LINEAR_UP_TO * smallest:
        axis.set_xlim(-1.1 * reach, 1.1 * reach)
        axis.xaxis.set_major_locator(round_steps())
        return True
    axis.set_xscale("symlog", linthresh=2 * smallest, linscale=1)
    decades = range(math.floor(math.log10(smallest)), math.ceil(math.log10(reach)) + 1)
    positive = [m * 10.0**decade for decade in decades for m in (1, 3)]
    positive = [tick for tick in positive if smallest <= tick <= 1.4 * reach]
    ticks = [*(-tick for tick in reversed(positive)), 0.0, *positive]
    axis.set_xticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.set_xlim(-1.4 * reach, 1.4 * reach)
    return False


def _positions(plan: Plan) -> tuple[list[float], list[str], bool, bool]:
    """Return positions and labels of conditions, whether to use a log axis, whether to scale."""
    known = [condition.position for condition in plan.conditions.values()]
    at = [position for position in known if position is not None]
    scaled = len(at) == len(known)
    # Without a scale, lines between conditions would mean nothing.
    at = at if scaled else [float(index) for index in range(len(known))]
    labels = [condition.label for condition in plan.conditions.values()]
    return at, labels, scaled and logarithmic(at), scaled


def arm_styles(arms: Mapping[str, Arm]) -> dict[str, Style]:
    """Return the style of each arm's loss; a distinct one for custom and repeated losses."""
    return styles_of({name: arm.loss for name, arm in arms.items()})


def at_rate(plan: Plan, rate: Rate) -> str:
    """Return the title of a panel for arms at a rate."""
    if rate == "own":
        return f"Each at its own best {plan.parameter_name}"
    reference = f"{plan.reference_label}’s best {plan.parameter_name}"
    return f"All at {reference}" if rate == "reference" else f"At a multiple of {reference}"


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


def _side_by_side(at: Sequence[float], number: int, *, decades: bool) -> list[list[float]]:
    """Return the positions of each arm, slightly apart so that bars do not overlap."""
    places = np.log10(at) if decades else np.asarray(at, float)
    gap = float(np.diff(np.sort(places)).min()) if len(places) > 1 else 1.0
    # Among few positions a third of the distance would look like another position.
    reach = min(0.3 * gap, 0.03 * float(np.ptp(places)) or gap)
    shifts = np.linspace(-reach, reach, number) if number > 1 else np.zeros(1)
    rows = places + shifts[:, None]
    return [list(row) for row in (10**rows if decades else rows).tolist()]
