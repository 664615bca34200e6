"""Figures as data: what reports and measures give and :mod:`losslab.figures.panels` draws."""

from dataclasses import dataclass
from typing import Any, Literal

from losslab.figures.styles import Style


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a figure.

    Attributes:
        label: In the legend; none if empty.
        x: Positions.
        y: Values.
        low: Lower ends of intervals, if any.
        high: Upper ends likewise.
        loss: Config name of the loss whose colour it has; by order if ``None``.
        line: Whether points are joined.
        style: Colour, marker and line, where they are not those of the loss.
        bars: Whether intervals are bars rather than a band.
        weights: Of each point, which its marker's area shows.
        ring: The position of a point to be marked.
        mark_every: Points between two markers; ``None`` marks all points of few, none of many.
    """

    label: str
    x: list[float]
    y: list[float]
    low: list[float] | None = None
    high: list[float] | None = None
    loss: str | None = None
    line: bool = True
    style: Style | None = None
    bars: bool = False
    weights: list[float] | None = None
    ring: float | None = None
    mark_every: int | None = None


@dataclass(frozen=True, kw_only=True)
class Field:
    """Numbers on a grid, drawn as filled contours.

    Attributes:
        x: Positions, one a point, in any order.
        y: Likewise.
        z: Values there.
        label: What they are, with the unit.
        shares: Whether they are shares in [0, 1], shown in percent; else they are positive and on
            a logarithmic scale.
    """

    x: list[float]
    y: list[float]
    z: list[float]
    label: str
    shares: bool = True


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: Above it.
        x_label: With its unit.
        y_label: Likewise.
        curves: From back to front.
        x_log: Whether the horizontal axis is logarithmic.
        y_log: Whether the vertical one is.
        diagonal: Whether both axes go from 0 to 1 and a thin line marks where they are equal.
        field: What lies behind the curves.
        percent: Whether the vertical axis shows shares in percent: over the ``whole`` range from 0
            to 100, or where the curves are (``shown``).
        ticks: ``values`` sets a tick at each position of a curve, ``counts`` at whole numbers from
            0; names and positions set just these.
        marks: Where thin dashed vertical lines are.
    """

    title: str
    x_label: str
    y_label: str
    curves: list[Curve]
    x_log: bool = False
    y_log: bool = False
    diagonal: bool = False
    field: Field | None = None
    percent: Literal["whole", "shown"] | None = None
    ticks: Literal["values", "counts"] | list[tuple[str, float]] | None = None
    marks: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure: one file, panels side by side.

    Attributes:
        name: File name without ending.
        caption: What it shows.
        panels: Left to right, then down.
        columns: Panels side by side; all if ``None``.
        size: Width and height in inches; by the number of panels if ``None``.
        x_label: Below all panels, which then have the same axes.
        y_label: Beside them.
        share: Whether all panels have the same axes, labelled at the outer ones.
        legend_below: Whether one legend below is for all panels, rather than one within each.
        title_width: Characters in a line of a panel's title.
    """

    name: str
    caption: str
    panels: list[Panel]
    columns: int | None = None
    size: tuple[float, float] | None = None
    x_label: str = ""
    y_label: str = ""
    share: bool = False
    legend_below: bool = False
    title_width: int = 44


def read_drawing(data: dict[str, Any]) -> Drawing:
    """Return a drawing from what ``dataclasses.asdict`` made of it.

    Raises:
        TypeError, KeyError: It has other parts.

    >>> from dataclasses import asdict
    >>> panel = Panel(title="", x_label="", y_label="", curves=[Curve(label="a", x=[0.0], y=[1.0])])
    >>> drawing = Drawing(name="example", caption="", panels=[panel])
    >>> read_drawing(asdict(drawing)) == drawing
    True
    """
    return Drawing(**data | {"panels": list(map(_panel, data["panels"]))})


def _panel(data: dict[str, Any]) -> Panel:
    field = data.get("field")
    return Panel(
        **data
        | {
            "curves": [Curve(**curve) for curve in data["curves"]],
            "field": None if field is None else Field(**field),
        }
    )
