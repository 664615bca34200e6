"""Figures as data: what a measure gives and :mod:`losslab.report.panels` draws."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a figure.

    Attributes:
        label: In the legend.
        x: Positions.
        y: Values.
        low: Lower ends of intervals, if any.
        high: Upper ends likewise.
        loss: Config name of the loss whose colour it has; by order if ``None``.
        line: Whether points are joined.
    """

    label: str
    x: list[float]
    y: list[float]
    low: list[float] | None = None
    high: list[float] | None = None
    loss: str | None = None
    line: bool = True


@dataclass(frozen=True, kw_only=True)
class Field:
    """Shares in [0, 1] on a grid, drawn as filled contours, in percent.

    Attributes:
        x: Positions, one a point, in any order.
        y: Likewise.
        z: Values there.
        label: What they are, with the unit, %.
    """

    x: list[float]
    y: list[float]
    z: list[float]
    label: str


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
    """

    title: str
    x_label: str
    y_label: str
    curves: list[Curve]
    x_log: bool = False
    y_log: bool = False
    diagonal: bool = False
    field: Field | None = None


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure: one file, panels side by side.

    Attributes:
        name: File name without ending.
        caption: What it shows.
        panels: Left to right.
    """

    name: str
    caption: str
    panels: list[Panel]


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
