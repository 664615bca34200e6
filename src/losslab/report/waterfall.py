"""From one side to another, step by step: what each change adds to the accuracy."""

from pathlib import Path

from losslab.report import formatting as show
from losslab.report.canvas import INK, MUTED, new_figure, save, wrap
from losslab.report.findings import ACCURACY, Findings
from losslab.styles import BLUE, GREY, VERMILLION


def waterfall(findings: Findings, path: Path) -> None:
    """Draw the level at the first stop, every change with its interval, and the last level."""
    steps = [step for step in findings.steps if step.level is not None]
    figure, (axis,) = new_figure(10, 5)
    base, lowest = 0.0, 1.0
    for x, found in enumerate(steps):
        assert found.level is not None
        level = found.level.mean
        if found.change is None:
            axis.bar(x, level, color=GREY, width=0.62)
            low, high = found.level.interval or (level, level)
            text = show.number(ACCURACY, level)
        else:
            change = found.change.difference
            axis.bar(x, change, bottom=base, color=BLUE if change >= 0 else VERMILLION, width=0.62)
            axis.plot([x - 1.31, x + 0.31], [base, base], color=MUTED, lw=0.8)
            low, high = (
                (base + bound for bound in found.change.interval)
                if found.change.interval
                else (base + change, base + change)
            )
            text = show.number(ACCURACY, change, signed=True)
            level = base + change
        axis.errorbar(
            x, level, yerr=[[level - low], [high - level]], color=INK, capsize=3.5, lw=1.3
        )
        axis.annotate(
            text, (x, max(high, base)), xytext=(0, 4), textcoords="offset points", ha="center",
            fontsize=9, color=INK,
        )  # fmt: skip
        lowest = min(lowest, low, base if x else low)
        base = level
    axis.set_xticks(range(len(steps)), [wrap(found.step.label, 18) for found in steps], fontsize=9)
    axis.set_ylim(max(0.0, lowest - 0.03), min(1.0, base + 0.05))
    axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}")
    axis.set_ylabel(
        "test accuracy (%), mean over seeds\nchanges in percentage points, bars: 95% interval"
    )
    axis.grid(axis="y")
    axis.set_axisbelow(True)
    save(figure, path)
