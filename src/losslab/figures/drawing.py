"""Figures as data, which :mod:`losslab.figures.panels` draws."""

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
    loss: str | None = None  # config name of the loss that decides the style; by order if ``None``
    line: bool = True  # whether to join points
    style: Style | None = None  # overrides that of the loss
    bars: bool = False  # whether to draw intervals as bars rather than a band
    weights: list[float] | None = None  # of each point, shown as marker area
    ring: float | None = None  # position of a point to mark
    mark_every: int | None = None  # points per marker; ``None`` marks all of few, none of many


@dataclass(frozen=True, kw_only=True)
class Field:
    """Numbers on a grid, drawn as filled contours."""

    x: list[float]  # positions of points, in any order
    y: list[float]
    z: list[float]
    label: str  # of the colour bar, with the unit
    shares: bool = True  # in [0, 1], shown in percent; otherwise positive, on a log scale


@dataclass(frozen=True, kw_only=True)
class Cells:
    """A table of numbers shaded by size."""

    rows: list[str]  # names
    columns: list[str]
    values: list[list[float]]  # by row; those that round to 0 are not written
    label: str  # of the colour bar, with the unit
    darkest: float  # the darkest shade is for this and larger numbers


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes."""

    title: str
    x_label: str = ""  # with its unit
    y_label: str = ""
    curves: list[Curve]  # from back to front
    x_log: bool = False
    y_log: bool = False
    diagonal: bool = False  # both axes from 0 to 1, with a thin line where they are equal
    field: Field | None = None  # behind the curves
    cells: Cells | None = None  # instead of curves
    # Shares in percent on the vertical axis: from 0 to 100, or the range of the curves.
    percent: Literal["whole", "shown"] | None = None
    y_from: float | None = None  # start of the vertical axis, if not by ``percent``
    # At each position of a curve, at whole numbers from 0, or at these names and positions.
    ticks: Literal["values", "counts"] | list[tuple[str, float]] | None = None
    marks: tuple[float, ...] = ()  # positions of thin dashed vertical lines


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure: one file, panels side by side."""

    name: str = ""  # file name without ending
    caption: str = ""
    panels: list[Panel]  # left to right, then down
    columns: int | None = None  # panels side by side; all if ``None``
    size: tuple[float, float] | None = None  # in inches; by the number of panels if ``None``
    x_label: str = ""  # below all panels
    y_label: str = ""  # left of them
    # whether panels share both axes, with labels at the outer ones, or only the vertical one
    share: bool | Literal["y"] = False
    legend_below: bool = False  # one legend for all panels, rather than one within each
    title_width: int = 44  # characters in a line of a panel's title
