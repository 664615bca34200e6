"""The figures of studies and sweeps. Imported only to draw, as matplotlib takes seconds."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from losslab.figures import Panel, styles_of
from losslab.figures.canvas import save
from losslab.files import is_generated
from losslab.report.estimates import Estimate
from losslab.report.figures.accuracy import (
    accuracy,
    accuracy_by_condition,
    accuracy_by_value,
    by_value,
    learning_curves,
    with_bars,
)
from losslab.report.figures.differences import gap_by_condition, specification_curve
from losslab.report.figures.forest import can_be_drawn, claims
from losslab.report.findings import ACCURACY, Findings, Sweep, by_loss
from losslab.report.sweep_report import FIGURE, RATE, configuration_text

_MOST_CURVES = 14  # that can be told apart in one panel
_FIGURES_OF_A_STUDY = (
    "accuracy.png",
    "gap.png",
    "specification_curve.png",
    "accuracy_by_value.png",
    "learning_curves.png",
    "claims.png",
)


def draw_study(findings: Findings, folder: Path) -> list[Path]:
    """Draw every figure that has data into a folder, remove outdated ones; return the files."""
    plan = findings.plan
    confirmed = any(measured.estimate for measured in findings.measured.values())
    values = Counter(point.arm for point in findings.tuning if point.mean is not None)
    figures: dict[str, Callable[[Findings], Figure]] = {}
    if plan.choices:  # universes: one panel each would be dozens
        if findings.gaps:
            figures["specification_curve.png"] = specification_curve
    else:
        if confirmed:
            figures["accuracy.png"] = accuracy_by_condition if plan.conditions else accuracy
        if findings.gaps and plan.conditions:
            figures["gap.png"] = gap_by_condition
        if max(values.values(), default=0) > 1:
            figures["accuracy_by_value.png"] = accuracy_by_value
        if confirmed and len(plan.families) <= _MOST_CURVES:
            figures["learning_curves.png"] = learning_curves
    if any(map(can_be_drawn, findings.judgements)):
        figures["claims.png"] = claims
    for name in _FIGURES_OF_A_STUDY:
        if name not in figures:
            _remove(folder / name)
    return [save(draw(findings), folder / name) for name, draw in figures.items()]


def draw_sweep(found: Sweep, folder: Path) -> list[Path]:
    """Draw accuracy against the learning rate if a curve has two points; return the files."""
    curves: dict[str, dict[float, Estimate]] = {}
    losses = {}
    for configuration in sorted(found.configurations, key=by_loss):
        rate, level = configuration.varied.get(RATE), configuration.measured[ACCURACY].estimate
        if isinstance(rate, int | float) and level:
            name = configuration_text(found, configuration)
            curves.setdefault(name, {})[float(rate)] = level
            losses[name] = configuration.loss
    if all(len(points) < 2 for points in curves.values()):
        _remove(folder / FIGURE)
        return []
    styles = styles_of(losses)
    panels = [
        Panel(title=name, curves=[with_bars(dict(sorted(points.items())), style=styles[name])])
        for name, points in curves.items()
    ]
    note = "mean over seeds, bars: 95% interval"
    figure = by_value(panels, x_label="learning rate", y_label="test accuracy (%)", note=note)
    return [save(figure, folder / FIGURE)]


def _remove(path: Path) -> None:
    """Remove the figure of an earlier report."""
    if is_generated(path):
        path.unlink()
