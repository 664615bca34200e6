"""Draw the figures of a demonstration from their data."""

from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes

from losslab.report.canvas import MUTED, drawing, new_figure, percent_axis, save, wrap
from losslab.report.drawings import Curve, Drawing, Field, Panel
from losslab.report.plan import Arm
from losslab.report.style import arm_styles
from losslab.styles import LOSS_STYLES, Style

_WIDTH, _HEIGHT = 4.6, 4.2
_FEW = 25
_THIN_MARKERS = ("P", "X", "*", "d")
# Where no curve is a loss's, none of these can be taken for one.
_PLAIN_MARKERS = ("o", "s", "^", "D", "v", "h", "8")


def draw_drawings(drawings: Iterable[Drawing], folder: Path) -> list[Path]:
    """Draw all into a folder; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with drawing():
        for each in drawings:
            figure, axes = new_figure(
                _WIDTH * len(each.panels) + (1 if len(each.panels) == 1 else 0),
                _HEIGHT,
                columns=len(each.panels),
            )
            legends: list[list[str]] = []
            for axis, panel in zip(axes, each.panels, strict=True):
                labels = [curve.label for curve in panel.curves]
                # Said once where two panels have the same curves.
                _panel(axis, panel, legend=any(labels) and labels not in legends)
                legends.append(labels)
            path = folder / f"{each.name}.png"
            save(figure, path)
            files.append(path)
    return files


def _panel(axis: Axes, panel: Panel, *, legend: bool) -> None:
    if panel.field is not None:
        _field(axis, panel.field)
    if panel.diagonal:
        axis.plot([0, 1], [0, 1], color=MUTED, lw=0.8, zorder=1)
        axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    styles = _styles(panel.curves)
    for curve, style in zip(panel.curves, styles, strict=True):
        few = len(curve.x) <= _FEW
        axis.plot(
            curve.x,
            curve.y,
            color=style.color,
            ls=style.line if curve.line else "none",
            marker=style.marker if few or not curve.line else None,
            ms=(9 if style.marker in _THIN_MARKERS else 6) if few else 3.5,
            alpha=1 if few or curve.line else 0.6,
            mec="white",
            mew=0.5,
            clip_on=not panel.diagonal,  # a marker on the edge is whole
            # Points alone are marks on the lines.
            zorder=2 if curve.line else 3,
            label=wrap(curve.label, 30),
        )
        if curve.low is not None and curve.high is not None:
            axis.fill_between(
                curve.x, curve.low, curve.high, color=style.color, alpha=0.15, linewidth=0
            )
    if panel.x_log:
        axis.set_xscale("log")
    if panel.y_log:
        axis.set_yscale("log")
    # A colour bar takes its room from the panel's.
    axis.set_title(wrap(panel.title, 44 if panel.field is None else 32), loc="left")
    axis.set_xlabel(panel.x_label)
    axis.set_ylabel(panel.y_label)
    axis.grid(axis="y")
    axis.set_axisbelow(True)
    if legend:
        axis.legend(fontsize=8, handlelength=3)


def _field(axis: Axes, field: Field) -> None:
    """Draw filled contours, light where the value is 1, with lines that a grey print keeps."""
    # The highest band holds its upper end, too.
    levels = [*(tenth / 10 for tenth in range(10)), 1 + 1e-9]
    shades = axis.tricontourf(field.x, field.y, field.z, levels=levels, cmap="cividis")
    lines = axis.tricontour(
        field.x, field.y, field.z, levels=levels[1:-1], colors="white", linewidths=0.5
    )
    axis.clabel(lines, levels=levels[3:-1:2], fmt=lambda share: f"{100 * share:.0f}", fontsize=7)
    axis.set_aspect("equal")
    bar = axis.figure.colorbar(shades, ax=axis, label=field.label, shrink=0.8)
    percent_axis(bar.ax.yaxis)


def _styles(curves: list[Curve]) -> list[Style]:
    named = arm_styles({str(i): Arm(c.label, c.loss or "") for i, c in enumerate(curves)})
    styles = [
        LOSS_STYLES.get(curve.loss or "", named[str(index)]) for index, curve in enumerate(curves)
    ]
    if any(curve.loss for curve in curves):
        return styles
    return [
        style._replace(marker=_PLAIN_MARKERS[index % len(_PLAIN_MARKERS)])
        for index, style in enumerate(styles)
    ]
