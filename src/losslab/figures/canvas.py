"""What all figures share: type size, quiet axes, and files that are the same to the byte."""

import functools
import io
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

# Figure and not pyplot: no global state, no window system, and a second less to import.
import matplotlib as mpl
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from losslab.files import beside, check_generated

DPI, SMALL_DPI = 150, 100
SMALL_WIDTH = 3.5
"""Inches of a small figure: 350 pixels, what TensorBoard shows without scaling."""

INK = "#262626"
MUTED = "#595959"
PALE = "#E8E8E8"

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.parse_math": False,  # of a name with dollar signs
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
    "legend.handlelength": 3,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "lines.markeredgecolor": "white",
    "lines.markeredgewidth": 0.5,
}
_SMALL = {
    "figure.dpi": SMALL_DPI,
    "font.size": 8,
    "axes.titlesize": 8.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
}


P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R], *, settings: Any = _SETTINGS) -> Callable[P, R]:
    """Let a function draw with the project's settings."""

    @functools.wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        # Those only: a matplotlibrc in the working folder may have labels typeset by LaTeX.
        with mpl.style.context(["default", settings]):
            return draw(*args, **kwargs)

    return wrapped


def small(draw: Callable[P, R]) -> Callable[P, R]:
    """Let a function draw at the size of TensorBoard's images."""
    return styled(draw, settings=_SETTINGS | _SMALL)


def new_figure(
    width: float,
    height: float,
    *,
    columns: int = 1,
    heights: Sequence[float] = (1,),
    share: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Return an empty figure and its axes, row by row.

    Args:
        width: In inches.
        height: In inches.
        columns: Of axes.
        heights: Of the rows, relative to each other; one row if not given.
        share: Whether all have the same limits, drawn at the outer ones only.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(
        len(heights), columns, sharex=share, sharey=share, squeeze=False, height_ratios=heights
    )
    return figure, list(grid.flat)


def percent_axis(axis: Axis) -> None:
    """Label an axis of shares from 0 to 100."""
    axis.set_ticks([0, 0.2, 0.4, 0.6, 0.8, 1.0], labels=["0", "20", "40", "60", "80", "100"])


def round_steps() -> MaxNLocator:
    """Return ticks at round numbers: steps of 1, 2 or 5 times a power of ten, not of 2.5."""
    return MaxNLocator(6, steps=[1, 2, 5, 10])


def wrap(text: str, width: int = 26) -> str:
    """Break a label into lines."""
    return textwrap.fill(text, width, break_on_hyphens=False)


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG that is the same to the byte for the same drawing, beside and renamed."""
    check_generated(path, below=path.parent.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    with beside(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": "losslab"})
    return path


class Image(NamedTuple):
    """A figure as TensorBoard takes it.

    Attributes:
        png: The file.
        width: In pixels.
        height: In pixels.
    """

    png: bytes
    width: int
    height: int


def image(figure: Figure) -> Image:
    """Return a small figure as PNG, the same to the byte for the same drawing."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=SMALL_DPI, metadata={"Software": None})
    width, height = (round(inches * SMALL_DPI) for inches in figure.get_size_inches())
    return Image(buffer.getvalue(), width, height)
