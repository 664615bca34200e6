"""Figures as data: what reports and measures give and :mod:`losslab.figures.panels` draws."""

from dataclasses import dataclass
from typing import Literal

from losslab.figures.styles import Style


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a figure."""

    label: str = ""  # in the legend; none if empty
    x: list[float]
    y: list[float]
    low: list[float] | None = None  # lower ends of intervals
    high: list[float] | None = None  # upper ends
    loss: str | None = None  # config name of the loss whose style it has; by order if ``None``
    line: bool = True  # whether points are joined
    style: Style | None = None  # in place of that of the loss
    bars: bool = False  # whether intervals are bars rather than a band
    weights: list[float] | None = None  # of each point, shown by its marker's area
    ring: float | None = None  # the position of a point to be marked
    mark_every: int | None = None  # points per marker; ``None`` marks all of few, none of many


@dataclass(frozen=True, kw_only=True)
class Field:
    """Numbers on a grid, drawn as filled contours."""

    x: list[float]  # one position a point, in any order
    y: list[float]
    z: list[float]
    label: str  # what they are, with the unit
    shares: bool = True  # in [0, 1], shown in percent; else positive, on a logarithmic scale


@dataclass(frozen=True, kw_only=True)
class Cells:
    """A table of numbers, each in a shade: the darker, the larger."""

    rows: list[str]  # their names
    columns: list[str]
    values: list[list[float]]  # a list a row; those that round to 0 are not written
    label: str  # what they are, with the unit
    darkest: float  # the number from which on all are as dark


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes."""

    title: str
    x_label: str = ""  # with its unit
    y_label: str = ""
    curves: list[Curve]  # from back to front
    x_log: bool = False
    y_log: bool = False
    diagonal: bool = False  # both axes go from 0 to 1, and a thin line marks where they are equal
    field: Field | None = None  # behind the curves
    cells: Cells | None = None  # in place of curves
    # Shares in percent on the vertical axis: from 0 to 100, or only where the curves are.
    percent: Literal["whole", "shown"] | None = None
    y_from: float | None = None  # where the vertical axis begins, if not by ``percent``
    # At each position of a curve, at whole numbers from 0, or at these names and positions.
    ticks: Literal["values", "counts"] | list[tuple[str, float]] | None = None
    marks: tuple[float, ...] = ()  # where thin dashed vertical lines are


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure: one file, panels side by side."""

    name: str = ""  # file name without ending
    caption: str = ""
    panels: list[Panel]  # left to right, then down
    columns: int | None = None  # panels side by side; all if ``None``
    size: tuple[float, float] | None = None  # in inches; by the number of panels if ``None``
    x_label: str = ""  # below all panels
    y_label: str = ""  # beside them
    # whether all panels have the same axes, labelled at the outer ones, or the same vertical one
    share: bool | Literal["y"] = False
    legend_below: bool = False  # one legend for all panels, rather than one within each
    title_width: int = 44  # characters in a line of a panel's title
