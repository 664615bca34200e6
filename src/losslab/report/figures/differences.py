"""Figures of paired differences from the reference: over conditions, and of universes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from losslab.figures import Style
from losslab.figures.canvas import MUTED, PALE, new_figure, round_steps, styled, tick_width, wrap
from losslab.figures.panels import legend_columns
from losslab.report.estimates import Comparison
from losslab.report.figures.axes import arm_styles, name_rows, positions, side_by_side
from losslab.report.findings import Findings
from losslab.report.plan import in_condition

_CLOSE_UP = 2.5  # percentage points


@styled
def gap_by_condition(findings: Findings) -> Figure:
    """Each arm's paired difference from the reference over the conditions, with every seed."""
    plan = findings.plan
    styles = arm_styles(plan.families)
    del styles[plan.reference]
    at, labels, decades, scaled = positions(plan)
    far = _farthest(findings.gaps.values()) > 2 * _CLOSE_UP
    figure, axes = new_figure(13 if far else 10, 5.6, columns=2 if far else 1)
    for axis, limits in zip(axes, _limits(findings.gaps.values()), strict=False):
        axis.axhline(0, color=MUTED, lw=1)
        rows = side_by_side(at, len(styles), decades=decades)
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
        f"test accuracy minus that of {plan.reference_label}\n(points; bars: 95% interval, "
        "dots: seeds, ↓ ↑: beyond)"
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
    ends = [100 * end for gap in gaps for end in gap.interval or (gap.mean,)]
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

    Beyond the limits a seed is a small pale arrow at the edge, and a mean a large solid one.
    """
    color = style.color
    beside = ScaledTranslation(4 / 72, 0, axis.figure.dpi_scale_trans)  # the bar would hide them
    for place, gap in gaps.items():
        seeds = [100 * value for value in gap.by_seed.values()]
        within = [value for value in seeds if limits[0] <= value <= limits[1]]
        dots: dict[str, Any] = {"color": color, "alpha": 0.45, "transform": axis.transData + beside}
        axis.plot([place] * len(within), within, ".", ms=5, mew=0, **dots)
        for edge, arrow, va in _beyond(seeds, limits):
            axis.text(place, edge, arrow, va=va, fontsize=8, **dots)
        low, high = (100 * end for end in gap.interval or (gap.mean, gap.mean))
        axis.plot([place] * 2, [low, high], color=color, lw=2, solid_capstyle="butt")
        for edge, arrow, va in _beyond([100 * gap.mean], limits):
            axis.text(place, edge, arrow, color=color, ha="center", va=va, weight="bold")
    axis.plot(
        list(gaps),
        [100 * gap.mean for gap in gaps.values()],
        color=color,
        marker=style.marker,
        ls=style.line,
        ms=6,
        lw=1.4,
        label=label,
    )


class _Beyond(NamedTuple):
    """An edge of an axis beyond which values lie, with its arrow and the arrow's alignment."""

    edge: float
    arrow: str
    va: Literal["bottom", "top"]


def _beyond(values: Sequence[float], limits: tuple[float, float]) -> list[_Beyond]:
    low, high = limits
    below, above = min(values, default=low) < low, max(values, default=low) > high
    return [_Beyond(low, "↓", "bottom")] * below + [_Beyond(high, "↑", "top")] * above


@styled
def specification_curve(findings: Findings) -> Figure:
    """Each arm's difference from the reference in each universe, sorted, above its choices.

    After Simonsohn, Simmons & Nelson 2020, *Specification curve analysis*.
    """
    plan, styles = findings.plan, arm_styles(findings.plan.families)
    curve = sorted(findings.gaps.items(), key=lambda item: item[1].mean)
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
    axes[0].set_ylabel(f"test accuracy minus that\nof {plan.reference_label} (points)")
    axes[1].set_title(f"Between −{_CLOSE_UP:g} and +{_CLOSE_UP:g} points")
    axes[1].set_ylabel("bars: 95% interval\ndots: seeds; ↓ ↑: beyond")
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
    name_rows([below], names, 9)
    for axis in axes:
        axis.set_xlim(-1, len(curve))
        axis.set_xticks([])
        axis.spines["bottom"].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, handlelength=1.5)
    return figure
