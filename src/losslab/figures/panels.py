"""Draw panels with curves, for reports, measures and TensorBoard."""

import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import BoundaryNorm, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from losslab.figures.canvas import (
    INK,
    MUTED,
    new_figure,
    round_steps,
    save,
    styled,
    tick_width,
    wrap,
)
from losslab.figures.drawing import Cells, Curve, Drawing, Field, Panel
from losslab.figures.styles import LOSS_STYLES, Style, styles_of

_WIDTH, _HEIGHT = 4.6, 4.2
_FEW = 25
_WITHIN = 5  # curves whose legend fits into their panel
_THIN_MARKERS = ("P", "X", "*", "d")
# For panels in which no curve belongs to a loss.
_PLAIN_MARKERS = ("o", "s", "^", "D", "v", "h", "8")
_LABELS, _DECADES, _TICKS, _WIDE = 5, 6, 30, 4
_PLAIN_DECADES = 5  # beyond them powers of ten are shorter


def draw_drawings(drawings: Iterable[Drawing], folder: Path) -> list[Path]:
    """Draw figures into a folder, each as ``<name>.png``; return the files."""
    draw = styled(draw_panels)
    return [save(draw(each), folder / f"{each.name}.png") for each in drawings]


def draw_panels(drawing: Drawing) -> Figure:
    """Draw a figure of panels, with matplotlib's current settings."""
    panels = drawing.panels
    columns = min(drawing.columns or len(panels), len(panels))
    rows = -(-len(panels) // columns)
    width, height = drawing.size or (_WIDTH * columns + (columns == 1), _HEIGHT * rows)
    # Many labels would lie on the curves, and curves along a diagonal leave little room.
    first, most = panels[0], max(len(panel.curves) for panel in panels)
    crowded = most > 2 if first.diagonal else len(panels) == 1 and most > _WITHIN
    below = drawing.legend_below or crowded
    if below:
        named = {curve.label for panel in panels for curve in panel.curves if curve.label}
        lines = math.ceil(len(named) / legend_columns(named, width=width))
        height += 0.22 * max(0, lines - 3)
    figure, axes = new_figure(
        width, height, columns=columns, heights=[1] * rows, share=drawing.share
    )
    legends: list[list[str]] = []
    for axis, panel in zip(axes, panels, strict=False):
        alike = panels if drawing.share else [panel]
        beside = panels if drawing.share is True else [panel]
        _panel(axis, panel, title_width=drawing.title_width, alike=alike, beside=beside)
        handles, labels = axis.get_legend_handles_labels()
        # Only once if two panels have the same curves.
        if labels and labels not in legends and not below:
            axis.legend(handles, [wrap(label, 30) for label in labels], fontsize=8)
        legends.append(labels)
        if rows > 1:
            axis.tick_params(labelbottom=True)  # as the last row may be incomplete
            axis.title.set_fontsize(10)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    if below:
        shown = [axis.get_legend_handles_labels() for axis in axes]
        by_label = {label: handle for pair in shown for handle, label in zip(*pair, strict=True)}
        figure.legend(
            list(by_label.values()),
            list(by_label),
            handlelength=3.4,
            # A label below all panels takes the place of the legend.
            loc="outside upper center" if drawing.x_label else "outside lower center",
            ncols=legend_columns(by_label, width=width),
        )
    if drawing.x_label:
        figure.supxlabel(drawing.x_label, fontsize=10)
    if drawing.y_label:
        figure.supylabel(drawing.y_label, fontsize=10)
    return figure


def legend_columns(labels: Iterable[str], *, width: float) -> int:
    """Return 2 if two columns of a legend fit into ``width`` inches, else 1."""
    return 2 if 2 * (0.7 + 0.08 * max(map(len, labels), default=0)) <= width else 1


def _panel(
    axis: Axes, panel: Panel, *, title_width: int, alike: Sequence[Panel], beside: Sequence[Panel]
) -> None:
    """Draw a panel; ``alike`` share its vertical axis, ``beside`` both axes."""
    if panel.field is not None:
        _field(axis, panel.field)
    if panel.diagonal:
        axis.plot([0, 1], [0, 1], color=MUTED, lw=0.8, zorder=1)
        axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    for place in panel.marks:
        axis.axvline(place, color=MUTED, lw=1, ls=(0, (4, 3)), zorder=0)
    styles = _styles(panel.curves)
    for curve, style in zip(panel.curves, styles, strict=True):
        _curve(axis, curve, style, within=not panel.diagonal)
        _rings(axis, curve, style, y_from=panel.y_from)
    _mark_ends_below(axis, panel, styles)
    if panel.x_log:
        axis.set_xscale("log")
    if panel.y_log:
        axis.set_yscale("log")
    for each, log in ((axis.xaxis, panel.x_log and not panel.ticks), (axis.yaxis, panel.y_log)):
        if log and not panel.cells:
            _plain_numbers(each)
    if panel.ticks == "values":
        # Panels that share an axis share its ticks.
        values = [x for each in beside for curve in each.curves for x in curve.x]
        _tick_values(axis, values, log=panel.x_log)
    elif panel.ticks == "counts":
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        # Up to the end of the longest curve in panels with the same axes.
        end = max((x for each in beside for curve in each.curves for x in curve.x), default=0)
        axis.set_xlim(0, end or 1)
    elif panel.ticks:
        names, places = zip(*panel.ticks, strict=True)
        axis.set_xticks(places, [wrap(name, tick_width(len(names))) for name in names])
        axis.set_xticks([], minor=True)
    if panel.percent == "whole":
        axis.set_ylim(0, 1.02)
        axis.set_yticks(np.arange(6) / 5, ["0", "20", "40", "60", "80", "100"])
    elif panel.percent == "shown":
        if (low := panel.y_from) is not None:
            # A little above the highest point.
            high = max((y for p in alike for curve in p.curves for y in curve.y), default=1.0)
            axis.set_ylim(low, max(high, low + 0.01) + 0.08 * max(high - low, 0.01))
        locator = LogLocator(subs=(1, 2, 5)) if panel.y_log else round_steps()
        axis.yaxis.set_major_locator(locator)
        axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    # A colour bar takes space from the panel.
    axis.set_title(wrap(panel.title, min(title_width, 44 if panel.field is None else 32)))
    axis.set(xlabel=panel.x_label, ylabel=panel.y_label)
    if panel.cells is None:
        axis.grid(axis="y")
    else:
        _cells(axis, panel.cells)


def _curve(axis: Axes, curve: Curve, style: Style, *, within: bool) -> None:
    few = len(curve.x) <= _FEW
    marked = few or not curve.line or curve.mark_every is not None
    thin = style.marker in _THIN_MARKERS and curve.mark_every is None
    size = 0.6 if not few else 1.3 if thin else 1.0
    axis.plot(
        curve.x,
        curve.y,
        color=style.color,
        ls=style.line if curve.line else "none",
        marker=style.marker if marked and curve.weights is None else None,
        ms=size * mpl.rcParams["lines.markersize"],
        markevery=curve.mark_every,
        alpha=1 if few or curve.line else 0.6,
        label=curve.label,
        clip_on=within,  # a marker on the edge is whole
        zorder=2 if curve.line else 3,  # points alone are marks on the lines
    )
    if curve.weights is not None:
        sizes = 90 * np.asarray(curve.weights) / max(curve.weights) + 8
        axis.scatter(
            curve.x,
            curve.y,
            s=sizes,
            color=style.color,
            ec="white",
            lw=0.6,
            clip_on=within,
            zorder=3,
        )
    if curve.low is not None and curve.high is not None:
        interval = curve.x, curve.low, curve.high
        if curve.bars:
            axis.vlines(*interval, color=style.color, lw=1.4)
        else:
            axis.fill_between(*interval, color=style.color, alpha=0.15, linewidth=0)


def _rings(axis: Axes, curve: Curve, style: Style, *, y_from: float | None) -> None:
    """Mark the chosen point, and points below the axis at its lower edge."""
    for x, y in zip(curve.x, curve.y, strict=True):
        if curve.bars and y_from is not None and y < y_from:
            y = y_from
            axis.plot(x, y, "v", ms=5, color=style.color, alpha=0.7, clip_on=False)
        if x == curve.ring:
            axis.plot(x, y, "o", ms=12, mfc="none", mec=style.color, mew=1.6, clip_on=False)


def _mark_ends_below(axis: Axes, panel: Panel, styles: Sequence[Style]) -> None:
    """Say at the lower edge where lines end that end below the axis, the last one at the right."""
    if panel.y_from is None:
        return
    below = [
        (100 * curve.y[-1], style.color)
        for curve, style in zip(panel.curves, styles, strict=True)
        if curve.line and not curve.bars and curve.y and curve.y[-1] < panel.y_from
    ]
    for index, (end, color) in enumerate(reversed(below)):
        text, place = f"▾ {end:.0f}", (0.985 - 0.13 * index, 0.03)
        axis.annotate(text, place, xycoords="axes fraction", color=color, ha="right", fontsize=9)


def _field(axis: Axes, field: Field) -> None:
    """Draw filled contours, light where a share is 1, with lines for grey prints."""
    # Finer towards 1, where networks that have learned differ; the highest band includes its end.
    levels = [0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1 + 1e-9]
    norm: Normalize = BoundaryNorm(levels, mpl.colormaps["cividis"].N)
    if not field.shares:
        low, high = min(field.z), max(field.z)
        levels = np.geomspace(low, max(high, low * 1.01) * (1 + 1e-9), 11).tolist()
        norm = LogNorm()
    shades = axis.tricontourf(field.x, field.y, field.z, levels=levels, cmap="cividis", norm=norm)
    lines = axis.tricontour(
        field.x, field.y, field.z, levels=levels[1:-1], colors="white", linewidths=0.5
    )
    axis.set_aspect("equal")
    bar = axis.figure.colorbar(shades, ax=axis, label=field.label, shrink=0.8)
    if field.shares:
        axis.clabel(lines, levels=levels[3:-1:2], fmt=lambda z: f"{100 * z:.0f}", fontsize=7)
        bar.ax.yaxis.set_ticks(levels, [f"{100 * level:.0f}" for level in levels])
    else:
        bar.ax.yaxis.set_ticks(levels[::2], [f"{level:.2g}" for level in levels[::2]])
        bar.ax.yaxis.set_ticks([], minor=True)


def _cells(axis: Axes, cells: Cells) -> None:
    image = axis.imshow(cells.values, cmap="Blues", vmin=0, vmax=cells.darkest, aspect="auto")
    axis.set_xticks(range(len(cells.columns)), cells.columns, rotation=90)
    axis.set_yticks(range(len(cells.rows)), cells.rows)
    for row, values in enumerate(cells.values):
        for column, value in enumerate(values):
            text = f"{value:.0f}".replace("-", "−")
            color = "white" if value > cells.darkest / 2 else INK
            shown = "" if text in ("0", "−0") else text
            axis.text(column, row, shown, color=color, ha="center", va="center", fontsize=7)
    axis.figure.colorbar(image, ax=axis, label=cells.label, shrink=0.8)


def _styles(curves: list[Curve]) -> list[Style]:
    styles = [*styles_of({str(place): curve.loss for place, curve in enumerate(curves)}).values()]
    if not any(curve.loss for curve in curves):
        markers = itertools.cycle(_PLAIN_MARKERS)
        styles = [style._replace(marker=next(markers)) for style in styles]
    own = [
        LOSS_STYLES.get(curve.loss or "", style)
        for curve, style in zip(curves, styles, strict=True)
    ]
    losses: dict[str, set[str | None]] = {}  # by colour
    for curve, style in zip(curves, own, strict=True):
        losses.setdefault(style.color, set()).add(curve.loss)
    # A loss has its colour, unless another one in the panel, of the same family, has it first.
    return [
        curve.style or (own_style if len(losses[own_style.color]) == 1 else style)
        for curve, own_style, style in zip(curves, own, styles, strict=True)
    ]


def _plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis with 0.5, 1, 2 rather than powers of ten if it spans few decades."""
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    if decades > _PLAIN_DECADES:
        return
    subs = (1, 2, 5) if decades < 1.5 else (1, 3) if decades < 3 else (1,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def logarithmic(values: Sequence[float]) -> bool:
    """Return whether values are positive and span a decade or more."""
    return min(values) > 0 and max(values) >= 10 * min(values)


def _tick_values(axis: Axes, values: Sequence[float], *, log: bool) -> None:
    """Set a tick for each value, with as many labels as fit; only decades if there are many."""
    ticks = labelled = sorted(set(values))
    if len(ticks) > _LABELS and not log:
        return  # matplotlib's own are better than a forest of them
    if len(ticks) > _LABELS:
        first, last = math.ceil(math.log10(ticks[0])), math.floor(math.log10(ticks[-1]))
        decades = [10.0**power for power in range(first, last + 1)]
        if len(decades) < _WIDE:  # else those among the values could leave most of the axis bare
            decades = [tick for tick in ticks if math.log10(tick).is_integer()]
        # Eight decades in a small panel would run into one another.
        decades = decades[:: max(1, -(-len(decades) // _DECADES))]
        labelled = decades if len(decades) > 1 else ticks[::2]
    axis.set_xticks(labelled, [f"{tick:g}" for tick in labelled])
    shown = ticks if len(ticks) <= _TICKS else []
    axis.set_xticks([tick for tick in shown if tick not in labelled], minor=True)
    axis.xaxis.set_minor_formatter(NullFormatter())
