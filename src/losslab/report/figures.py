"""The figures of a study. Imported only when something is drawn: matplotlib takes seconds."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes

from losslab.files import is_generated
from losslab.report import formatting as show
from losslab.report.by_condition import accuracy_by_condition
from losslab.report.by_value import accuracy_by_value
from losslab.report.canvas import INK, MUTED, drawing, new_figure, round_steps, save, wrap
from losslab.report.curves import at_rate, learning_curves
from losslab.report.estimates import Estimate
from losslab.report.findings import ACCURACY, Findings
from losslab.report.forest import claims, drawable
from losslab.report.style import arm_styles
from losslab.report.waterfall import waterfall
from losslab.styles import Style


def draw_study(findings: Findings, folder: Path) -> list[Path]:
    """Draw what there is something to draw for.

    Args:
        findings: What was measured.
        folder: Where the PNG files go; made if need be.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    confirmed = any(measured.estimate for measured in findings.measured.values())
    level = accuracy_by_condition if findings.plan.conditions else accuracy
    drawings: list[tuple[str, bool, Callable[[Findings, Path], None]]] = [
        ("accuracy.png", confirmed, level),
        ("waterfall.png", any(step.change for step in findings.steps), waterfall),
        ("accuracy_by_value.png", any(point.mean for point in findings.tuning), accuracy_by_value),
        ("learning_curves.png", confirmed, learning_curves),
        ("claims.png", any(map(drawable, findings.differences)), claims),
    ]
    for name, wanted, draw in drawings:
        if wanted:
            with drawing():
                draw(findings, folder / name)
        elif is_generated(folder / name):
            # Of an earlier report, on other runs.
            (folder / name).unlink()
    return [folder / name for name, wanted, _ in drawings if wanted]


def accuracy(findings: Findings, path: Path) -> None:
    """Test accuracy at the reference's best value and at each arm's own, side by side."""
    plan = findings.plan
    styles, arms = arm_styles(plan.arms), list(plan.arms)
    height, columns = 1.6 + 0.5 * len(arms), len(plan.rates)
    figure, axes = new_figure(2 + 4 * columns, height, columns=columns, share=True)
    reference = findings.chosen(plan.reference)
    for axis, rate in zip(axes, plan.rates, strict=True):
        at = f", {reference:g}" if reference is not None and rate == "reference" else ""
        for row, arm in enumerate(arms):
            value = findings.chosen(arm)
            note = f"at {value:g}" if rate == "own" and value is not None else ""
            there = findings.measured[arm, rate, ACCURACY]
            if there.planned == 0 and rate == "scaled" and plan.confirm:
                continue  # an arm without a multiple of its own
            _row(axis, row, there.estimate, style=styles[arm], note=note)
        axis.set_title(wrap(at_rate(plan, rate) + at, 34), loc="left")
        axis.grid(axis="x")
        axis.set_axisbelow(True)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
    axes[0].margins(x=0.06)
    axes[0].xaxis.set_major_locator(round_steps())
    axes[0].xaxis.set_major_formatter(lambda accuracy, _: f"{100 * accuracy:g}")
    axes[0].set_yticks(range(len(arms)), [wrap(plan.arms[arm].label) for arm in arms], color=INK)
    axes[0].set_ylim(len(arms) - 0.5, -0.5)
    figure.supxlabel("test accuracy (%), mean over seeds and 95% interval", fontsize=10, color=INK)
    save(figure, path)


def _row(axis: Axes, row: int, found: Estimate | None, *, style: Style, note: str) -> None:
    if found is None:
        _beside(axis, row, "not measured yet", color=MUTED)
        return
    low, high = found.interval or (found.mean, found.mean)
    axis.plot([low, high], [row, row], color=style.color, lw=2.2, solid_capstyle="butt")
    axis.plot(found.mean, row, style.marker, color=style.color, ms=8, mec="white", mew=0.6)
    text = show.number(ACCURACY, found.mean)
    if found.interval:
        text += f"  {show.interval(ACCURACY, found.interval)}"
    text += f", n = {found.n}"
    _beside(axis, row, f"{text}\n{note}" if note else text, color=INK)


def _beside(axis: Axes, row: float, text: str, *, color: str) -> None:
    axis.annotate(
        text, (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=9, color=color
    )
