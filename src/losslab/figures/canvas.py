"""Shared by all figures: style, empty canvases, and reproducible PNG files."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

# Figure and not pyplot: no global state, no window system, and a second less to import.
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from losslab.files import beside, check_generated

INK, MUTED, PALE = "#262626", "#595959", "#E8E8E8"
SMALL_DPI, SMALL_WIDTH = 100, 3.5  # 350 pixels: what TensorBoard shows without scaling

_STYLE, _SMALL = (Path(__file__).with_name(f"{name}.mplstyle") for name in ("losslab", "small"))

# Decorators of what draws. From the defaults, not from a matplotlibrc in the working folder, which
# may have labels typeset by LaTeX. Not of what saves: matplotlib makes the labels of a logarithmic
# axis then, and they need parse_math.
styled = matplotlib.style.context(["default", _STYLE])
small = matplotlib.style.context(["default", _STYLE, _SMALL])


def new_figure(
    width: float,
    height: float,
    *,
    columns: int = 1,
    heights: Sequence[float] = (1,),
    share: bool | Literal["y"] = False,
) -> tuple[Figure, list[Axes]]:
    """Return an empty figure, in inches, and its axes, which may ``share`` both axes or only y."""
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(
        len(heights),
        columns,
        sharex=share is True,
        sharey=bool(share),
        squeeze=False,
        height_ratios=heights,
    )
    return figure, list(grid.flat)


def round_steps() -> MaxNLocator:
    """Return a locator with steps of 1, 2 or 5 times a power of ten, not 2.5."""
    return MaxNLocator(6, steps=[1, 2, 5, 10])


def tick_width(ticks: int) -> int:
    """Return how many characters fit in one line of a tick label, given the number of ticks."""
    return min(14, max(4, 60 // ticks))


def wrap(text: str, width: int = 26) -> str:
    """Break a label into lines; only words too long for a whole label are broken.

    >>> wrap("confident start", 6).splitlines()
    ['confident', 'start']
    """
    width = max(width, *(min(len(word), 14) for word in text.split()), 1)
    return textwrap.fill(text, width, break_on_hyphens=False)


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG atomically; equal figures give identical files."""
    check_generated(path, below=path.parent.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    with beside(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": "losslab"})
    return path
