"""From one level to another, step by step: what each change adds."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from losslab.figures.canvas import INK, MUTED, new_figure, styled, wrap
from losslab.figures.styles import BLUE, GREY, VERMILLION


@dataclass(frozen=True, kw_only=True)
class WaterfallStep:
    """One stop.

    Attributes:
        label: Below it.
        value: The level, or the change from the stop before.
        low: Lower end of its interval.
        high: Upper end likewise.
        text: Above it.
        change: Whether it is a change.
    """

    label: str
    value: float
    low: float
    high: float
    text: str
    change: bool


@styled
def draw_waterfall(steps: Sequence[WaterfallStep], *, y_label: str) -> Figure:
    """Draw the level at the first stop, in percent, and every change with its interval."""
    figure, (axis,) = new_figure(10, 5)
    base, lowest = 0.0, 100.0
    for x, step in enumerate(steps):
        start = base if step.change else 0.0
        color = GREY if not step.change else BLUE if step.value >= 0 else VERMILLION
        axis.bar(x, step.value, bottom=start, color=color, width=0.62)
        if step.change:
            axis.plot([x - 1.31, x + 0.31], [base, base], color=MUTED, lw=0.8)
        low, level, high = (start + value for value in (step.low, step.value, step.high))
        axis.errorbar(
            x, level, yerr=[[level - low], [high - level]], color=INK, capsize=3.5, capthick=1.3,
            lw=1.3,
        )  # fmt: skip
        axis.annotate(
            step.text, (x, max(high, base)), xytext=(0, 4), textcoords="offset points",
            ha="center", fontsize=9, color=INK,
        )  # fmt: skip
        lowest = min(lowest, low, base if x else low)
        base = level
    axis.set_xticks(range(len(steps)), [wrap(step.label, 18) for step in steps], fontsize=9)
    axis.set_ylim(max(0.0, lowest - 3), min(100.0, base + 5))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    axis.set_ylabel(y_label)
    axis.grid(axis="y")
    return figure
