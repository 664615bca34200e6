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


def draw_study(findings: Findings, folder: Path) -> list[Path]:
    """Draw every figure that has data into a folder, remove outdated ones; return the files."""
    plan = findings.plan
    confirmed = any(measured.estimate for measured in findings.measured.values())
    values = Counter(point.arm for point in findings.tuning if point.mean is not None)
    compact = not plan.choices  # a panel for each universe would be dozens
    few = len(plan.families) <= _MOST_CURVES
    over_grid = max(values.values(), default=0) > 1
    by_rate = accuracy_by_condition if plan.conditions else accuracy
    figures: list[tuple[str, object, Callable[[Findings], Figure]]] = [
        ("accuracy.png", compact and confirmed, by_rate),
        ("gap.png", compact and findings.gaps and plan.conditions, gap_by_condition),
        ("specification_curve.png", plan.choices and findings.gaps, specification_curve),
        ("accuracy_by_value.png", compact and over_grid, accuracy_by_value),
        ("learning_curves.png", compact and confirmed and few, learning_curves),
        ("claims.png", any(map(can_be_drawn, findings.judgements)), claims),
    ]
    for name, has_data, _ in figures:
        if not has_data:
            _remove(folder / name)
    return [save(draw(findings), folder / name) for name, has_data, draw in figures if has_data]


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
