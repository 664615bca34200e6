"""Rows of estimates: every arm's level, or every claim's difference as a forest plot."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from losslab.figures.canvas import INK, MUTED, PALE, new_figure, round_steps, styled, wrap
from losslab.figures.styles import Style

# Beyond this many smallest effects a linear axis would hide the smallest effect itself.
_LINEAR_UP_TO = 12


@dataclass(frozen=True, kw_only=True)
class Row:
    """One estimate.

    Attributes:
        label: At the left.
        style: Its colour and marker.
        mean: The estimate; ``None`` for none yet.
        low: Lower end of its interval.
        high: Upper end likewise.
        heading: At the right, bold.
        text: At the right, below.
        predicted: The range to shade; an end that is ``None`` is that of the axis.
    """

    label: str
    style: Style
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    heading: str = ""
    text: str = ""
    predicted: tuple[float | None, float | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Rows:
    """One pair of axes.

    Attributes:
        rows: From top to bottom.
        title: Above.
        x_label: What is estimated, with its unit.
        smallest: The smallest effect that matters, where differences are shown: 0 is then in the
            middle of an axis that is logarithmic where linear it would hide this.
    """

    rows: Sequence[Row]
    title: str = ""
    x_label: str = ""
    smallest: float | None = None


@styled
def draw_levels(groups: Sequence[Rows], *, x_label: str) -> Figure:
    """Draw levels: groups of the same rows side by side, with the same axes."""
    count = len(groups[0].rows)
    figure, axes = new_figure(
        2 + 4 * len(groups), 1.6 + 0.5 * count, columns=len(groups), share=True
    )
    for axis, group in zip(axes, groups, strict=True):
        _rows(axis, group.rows)
        axis.set_title(wrap(group.title, 34))
        axis.grid(axis="x")
    axes[0].margins(x=0.06)
    axes[0].xaxis.set_major_locator(round_steps())
    axes[0].set_yticks(range(count), [wrap(row.label) for row in groups[0].rows], color=INK)
    axes[0].set_ylim(count - 0.5, -0.5)
    figure.supxlabel(x_label, fontsize=10, color=INK)
    return figure


@styled
def draw_forest(groups: Sequence[Rows]) -> Figure:
    """Draw differences: groups one below the other, each with axes of its own.

    What is predicted is shaded: an interval within it is as predicted.
    """
    figure, axes = new_figure(
        10,
        sum(1.0 + 0.62 * len(group.rows) for group in groups),
        heights=[len(group.rows) for group in groups],
    )
    for axis, group in zip(axes, groups, strict=True):
        axis.axvline(0, color=MUTED, lw=1, zorder=1)
        _rows(axis, group.rows)
        smallest = group.smallest or 0.0
        ends = [end for row in group.rows for end in (row.low, row.high) if end is not None]
        linear = _scale(axis, reach=max(2 * smallest, *map(abs, ends)), smallest=smallest)
        limits = axis.get_xlim()
        for place, row in enumerate(group.rows):
            if row.predicted is not None:
                left, right = (
                    limits[side] if end is None else end for side, end in enumerate(row.predicted)
                )
                box = Rectangle(
                    (left, place - 0.38), right - left, 0.76, color=PALE, lw=0, zorder=0
                )
                axis.add_patch(box)
        count = len(group.rows)
        axis.set_ylim(count - 0.5, -0.5)
        labels = [wrap(row.label, 50) for row in group.rows]
        axis.set_yticks(range(count), labels, fontsize=9, color=INK)
        beyond = "" if linear else f"; logarithmic beyond ±{2 * smallest:g}"
        axis.set_xlabel(f"{group.x_label}\nshaded: what the claim predicts{beyond}")
    return figure


def _rows(axis: Axes, rows: Sequence[Row]) -> None:
    for place, row in enumerate(rows):
        if row.mean is not None:
            low, high = (row.mean if end is None else end for end in (row.low, row.high))
            axis.plot([low, high], [place] * 2, color=row.style.color, lw=2.2,
                      solid_capstyle="butt")  # fmt: skip
            axis.plot(row.mean, place, row.style.marker, color=row.style.color, ms=8, mew=0.6)
        if row.heading:
            middle = 6.0 * row.text.count("\n") if row.text else 0.0
            _beside(axis, place, row.heading, middle + 1, va="bottom", weight="bold")
            _beside(axis, place, row.text, middle - 1, va="top", color=MUTED)
        else:
            _beside(axis, place, row.text, 0, color=MUTED if row.mean is None else INK)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _beside(
    axis: Axes,
    place: float,
    text: str,
    up: float,
    *,
    va: str = "center",
    color: str = INK,
    weight: str = "normal",
) -> None:
    axis.annotate(
        text, (1.02, place), xycoords=("axes fraction", "data"), xytext=(0, up),
        textcoords="offset points", va=va, color=color, fontweight=weight, fontsize=9,
    )  # fmt: skip


def _scale(axis: Axes, *, reach: float, smallest: float) -> bool:
    """Set an axis that shows the smallest effect, however far it reaches; return if linear."""
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
