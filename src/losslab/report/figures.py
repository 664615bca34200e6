"""The figures of a study. Imported only when something is drawn: matplotlib takes seconds."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from losslab.report import formatting as show
from losslab.report.by_condition import (
    accuracy_by_condition,
    learning_by_condition,
    tuning_by_condition,
)
from losslab.report.canvas import INK, MUTED, drawing, new_figure, percent_axis, save, wrap
from losslab.report.curves import accuracy_by_value, at_rate, learning_curves
from losslab.report.findings import ACCURACY, Findings
from losslab.report.forest import claims, drawable
from losslab.report.samples import Estimate
from losslab.report.style import Style, arm_styles
from losslab.report.waterfall import waterfall


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
    tuned = any(point.mean for point in findings.tuning)
    several = bool(findings.plan.conditions)
    drawings: list[tuple[str, bool, Callable[[Findings, Path], None]]] = [
        ("accuracy.png", confirmed, accuracy_by_condition if several else accuracy),
        ("waterfall.png", any(step.change for step in findings.steps), waterfall),
        ("accuracy_by_value.png", tuned, tuning_by_condition if several else accuracy_by_value),
        ("learning_curves.png", confirmed, learning_by_condition if several else learning_curves),
        ("claims.png", any(map(drawable, findings.judgements)), claims),
    ]
    for name, wanted, draw in drawings:
        if wanted:
            with drawing():
                draw(findings, folder / name)
        else:
            # Of an earlier report, on other runs.
            (folder / name).unlink(missing_ok=True)
    return [folder / name for name, wanted, _ in drawings if wanted]


def accuracy(findings: Findings, path: Path) -> None:
    """Test accuracy at the reference's best value and at each arm's own, side by side."""
    plan = findings.plan
    styles, arms = arm_styles(plan.arms), list(plan.arms)
    height, columns = 1.6 + 0.52 * len(arms), len(plan.rates)
    figure, axes = new_figure(2 + 4 * columns, height, columns=columns, share_y=True)
    reference = findings.chosen(plan.reference)
    for axis, rate in zip(axes, plan.rates, strict=True):
        at = f", {reference:g}" if reference is not None and rate == "reference" else ""
        for row, arm in enumerate(arms):
            _bar(axis, row, findings.measured[arm, rate, ACCURACY].estimate, style=styles[arm])
        axis.set_title(wrap(at_rate(plan, rate) + at, 34), loc="left")
        axis.set_xlim(0, 1)
        percent_axis(axis.xaxis)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
    for row, arm in enumerate(arms):
        value = findings.chosen(arm)
        if value is not None:
            _beside(axes[-1], row, f"{value:g}")
    _beside(axes[-1], -0.68, _short(plan.parameter_name))
    figure.supxlabel("test accuracy (%), mean over seeds and 95% interval", fontsize=10, color=INK)
    axes[0].set_yticks(range(len(arms)), [wrap(plan.arms[arm].label) for arm in arms], color=INK)
    axes[0].set_ylim(len(arms) - 0.5, -0.5)
    save(figure, path)


def _bar(axis: Axes, row: int, found: Estimate | None, *, style: Style) -> None:
    if found is None:
        axis.text(0.012, row, "not measured yet", va="center", color=MUTED, fontsize=9)
        return
    low, high = found.interval or (found.mean, found.mean)
    text = show.number(ACCURACY, found.mean)
    if found.interval:
        text += f"  {show.interval(ACCURACY, found.interval)}"
    axis.barh(row, found.mean, height=0.64, color=style.color, linewidth=0)
    # Beside the bar while there is room, else on it.
    on_bar = high > 0.62
    ink = _ink(style.color)
    axis.errorbar(
        found.mean, row, xerr=[[found.mean - low], [high - found.mean]],
        color="#8C8C8C", capsize=3.5, lw=1.5, capthick=1.5,
    )  # fmt: skip
    if on_bar:
        axis.text(low - 0.02, row, text, va="center", ha="right", fontsize=9, color=ink)
    else:
        axis.text(high + 0.02, row, text, va="center", fontsize=9, color=INK)


def _short(parameter_name: str) -> str:
    return "rate" if parameter_name == "learning rate" else parameter_name.rsplit(".", 1)[-1]


def _ink(color: str) -> str:
    red, green, blue = to_rgb(color)
    return "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else "black"


def _beside(axis: Axes, row: float, text: str) -> None:
    axis.annotate(
        text, (1.03, row), xycoords=("axes fraction", "data"), va="center", fontsize=9, color=MUTED
    )
