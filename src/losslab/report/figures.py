"""A study's findings and a sweep's as figures. Imported only when something is drawn."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from losslab.figures import Curve, Drawing, Panel, Style, styles_of
from losslab.figures.canvas import save
from losslab.figures.panels import draw_panels, logarithmic
from losslab.figures.rows import Row, Rows, draw_forest, draw_levels
from losslab.figures.waterfall import WaterfallStep, draw_waterfall
from losslab.files import is_generated
from losslab.report import formatting as show
from losslab.report.claims import Judgement
from losslab.report.findings import ACCURACY, METRICS, Configuration, Findings, Sweep
from losslab.report.plan import Arm, Claim, Plan, Rate, Side, in_condition
from losslab.report.statistics import Interval
from losslab.report.sweep_report import FIGURE, RATE, curve_name
from losslab.tensorboard.over_seeds import Seed, means_over_seeds

_TAG = "val/accuracy"


def draw_study(findings: Findings, folder: Path) -> list[Path]:
    """Draw what there is something to draw for.

    Args:
        findings: What was measured.
        folder: Where the PNG files go; made if need be.

    Returns:
        The files written.
    """
    confirmed = any(measured.estimate for measured in findings.measured.values())
    level = accuracy_by_condition if findings.plan.conditions else accuracy
    figures: list[tuple[str, bool, Callable[[Findings], Figure]]] = [
        ("accuracy.png", confirmed, level),
        ("waterfall.png", any(step.change for step in findings.steps), waterfall),
        ("accuracy_by_value.png", any(point.mean for point in findings.tuning), accuracy_by_value),
        ("learning_curves.png", confirmed, learning_curves),
        ("claims.png", any(map(_drawable, findings.differences)), claims),
    ]
    for name, wanted, draw in figures:
        if wanted:
            save(draw(findings), folder / name)
        elif is_generated(folder / name):  # of an earlier report, on other runs
            (folder / name).unlink()
    return [folder / name for name, wanted, _ in figures if wanted]


def accuracy(findings: Findings) -> Figure:
    """Test accuracy at the reference's best value and at each arm's own, side by side."""
    plan = findings.plan
    styles, reference = arm_styles(plan.arms), findings.chosen(plan.reference)
    groups = []
    for rate in plan.rates:
        at = f", {reference:g}" if reference is not None and rate == "reference" else ""
        rows = [_level(findings, arm, rate, style=style) for arm, style in styles.items()]
        groups.append(Rows(rows=rows, title=at_rate(plan, rate) + at))
    return draw_levels(groups, x_label="test accuracy (%), mean over seeds and 95% interval")


def _level(findings: Findings, arm: str, rate: Rate, *, style: Style) -> Row:
    plan, measured = findings.plan, findings.measured[arm, rate, ACCURACY]
    row, found = Row(label=plan.arms[arm].label, style=style), measured.estimate
    if found is None:
        # An arm may have no multiple of its own.
        absent = measured.planned == 0 and rate == "scaled" and plan.confirm
        return Row(label=row.label, style=style, text="" if absent else "not measured yet")
    text = show.number(ACCURACY, found.mean)
    if found.interval:
        text += f"  {show.interval(ACCURACY, found.interval)}"
    value = findings.chosen(arm)
    note = f"\nat {value:g}" if rate == "own" and value is not None else ""
    low, high = _ends(found.interval, found.mean, factor=100)
    text += f", n = {found.n}{note}"
    return Row(label=row.label, style=style, mean=100 * found.mean, low=low, high=high, text=text)


def waterfall(findings: Findings) -> Figure:
    """The level at the first stop, every change with its interval, and the last level."""
    steps = []
    for found in findings.steps:
        if found.level is None:
            continue
        value = found.level.mean if found.change is None else found.change.difference
        interval = (found.level if found.change is None else found.change).interval
        low, high = _ends(interval, value, factor=100)
        steps.append(
            WaterfallStep(
                label=found.step.label,
                value=100 * value,
                low=low,
                high=high,
                text=show.number(ACCURACY, value, signed=found.change is not None),
                change=found.change is not None,
            )
        )
    return draw_waterfall(
        steps,
        y_label="test accuracy (%), mean over seeds\nchanges in percentage points, bars: "
        "95% interval",
    )


def accuracy_by_value(findings: Findings) -> Figure:
    """Validation accuracy of every arm over the whole grid, with the chosen points marked."""
    plan = findings.plan
    styles = arm_styles(plan.families)
    points: dict[str, list[tuple[float, float, Interval | None]]] = {}
    for point in findings.tuning:
        if point.mean is not None:
            points.setdefault(point.arm, []).append((point.value, point.mean, point.interval))
    panels = []
    for arm in plan.arms:
        if arm not in points:
            continue
        beside, chosen = plan.reference_of(arm), findings.chosen(plan.reference_of(arm))
        style = styles[arm.partition("@")[0]]
        curves = [_by_value(points[arm], style=style, ring=findings.chosen(arm))]
        if beside != arm and beside in points:
            grey = _by_value(points[beside], style=Style("#BFBFBF", "", "-"))
            curves.insert(0, replace(grey, low=None, high=None))
        panels.append((plan.label(arm), curves, () if chosen is None else (chosen,)))
    seeds = max((point.planned for point in findings.tuning), default=0)
    return _draw_by_value(
        panels,
        x_label=plan.parameter_name,
        y_label=f"{show.metric_name(plan.select)} (%)",
        note=f"{show.mean_of(seeds)}, bars: 95% interval; ring: chosen; grey, dashed: "
        f"{plan.reference_label} and its choice",
        # A row for each condition.
        columns=len(plan.families) if plan.conditions else 3,
    )


def draw_sweep(found: Sweep, folder: Path) -> list[Path]:
    """Draw accuracy against the learning rate where a curve has two; return the files."""
    curves: dict[str, list[Configuration]] = {}
    for configuration in found.configurations:
        rate = configuration.varied.get(RATE)
        if isinstance(rate, int | float) and configuration.measured[METRICS[0]].estimate:
            curves.setdefault(curve_name(found, configuration), []).append(configuration)
    path = folder / FIGURE
    if all(len(members) < 2 for members in curves.values()):
        if is_generated(path):
            path.unlink()
        return []
    styles = styles_of({name: members[0].loss for name, members in curves.items()})
    panels = []
    for name, members in curves.items():
        estimates = [(float(m.varied[RATE]), m.measured[METRICS[0]].estimate) for m in members]
        points = [(rate, e.mean, e.interval) for rate, e in estimates if e is not None]
        curve = _by_value(sorted(points, key=lambda point: point[0]), style=styles[name])
        panels.append((name, [curve], ()))
    figure = _draw_by_value(
        panels, x_label="learning rate", y_label="test accuracy (%)",
        note="mean over seeds, bars: 95% interval", columns=3,
    )  # fmt: skip
    return [save(figure, path)]


def _draw_by_value(
    panels: Sequence[tuple[str, list[Curve], tuple[float, ...]]],
    *,
    x_label: str,
    y_label: str,
    note: str,
    columns: int,
) -> Figure:
    """Draw each title's curves and marks in a panel, all with the same axes, ``note`` below."""
    columns = min(columns, len(panels))
    log = logarithmic([x for _, curves, _ in panels for curve in curves for x in curve.x])
    drawing = Drawing(
        name="",
        caption="",
        panels=[
            Panel(
                title=title, x_label="", y_label="", curves=curves, x_log=log, percent="whole",
                ticks="values", marks=marks,
            )
            for title, curves, marks in panels
        ],
        columns=columns,
        size=(1.6 + 2.8 * columns, 1.2 + 2.3 * -(-len(panels) // columns)),
        x_label=f"{x_label}{' (logarithmic)' * log}\n{note}",
        y_label=y_label,
        share=True,
        title_width=28,
    )  # fmt: skip
    return draw_panels(drawing)


def _by_value(
    points: Sequence[tuple[float, float, Interval | None]],
    *,
    style: Style,
    label: str = "",
    ring: float | None = None,
) -> Curve:
    low, high = zip(*(_ends(interval, mean) for _, mean, interval in points), strict=True)
    return Curve(
        label=label, x=[x for x, _, _ in points], y=[mean for _, mean, _ in points], low=[*low],
        high=[*high], bars=True, style=style, ring=ring,
    )  # fmt: skip


def accuracy_by_condition(findings: Findings) -> Figure:
    """Test accuracy over the conditions, a curve an arm, a panel a rate."""
    plan = findings.plan
    styles = arm_styles(plan.families)
    known = [condition.position for condition in plan.conditions.values()]
    at = [position for position in known if position is not None]
    scaled = len(at) == len(known)
    # Conditions without a scale have nothing between them to draw a line through.
    at = at if scaled else [float(index) for index in range(len(known))]
    decades = scaled and logarithmic(at)
    ticks = [(c.label, place) for c, place in zip(plan.conditions.values(), at, strict=True)]
    panels = []
    for index, rate in enumerate(plan.rates):
        curves = []
        places = _side_by_side(at, len(styles), decades=decades)
        for (arm, style), row in zip(styles.items(), places, strict=True):
            found = [
                (place, findings.measured[in_condition(arm, condition), rate, ACCURACY].estimate)
                for place, condition in zip(row, plan.conditions, strict=True)
            ]
            points = [(place, e.mean, e.interval) for place, e in found if e is not None]
            if points:
                line = style if scaled else style._replace(line="none")
                curves.append(_by_value(points, style=line, label=plan.families[arm].label))
        panels.append(
            Panel(
                title=at_rate(plan, rate), x_label=plan.axis, curves=curves, x_log=decades,
                y_label="" if index else "test accuracy (%)\nmean over seeds, bars: 95% interval",
                percent="shown", ticks=ticks,
            )
        )  # fmt: skip
    width = 2.4 + 4 * len(panels)
    drawing = Drawing(
        name="", caption="", panels=panels, size=(width, 4.6), share=True, legend_below=True,
        title_width=40,
    )  # fmt: skip
    return draw_panels(drawing)


def learning_curves(findings: Findings) -> Figure:
    """Validation accuracy against epoch: a panel a rate, or a panel a condition."""
    plan = findings.plan
    rates: list[Rate] = [rate for rate in plan.rates if rate != "scaled"]
    shown: list[tuple[str, Findings, Rate]] = [
        (at_rate(plan, rate), findings, rate) for rate in rates
    ]
    if plan.conditions:
        at: Rate = "own" if "own" in rates else rates[0]
        shown = [
            (f"{plan.axis}: {condition.label}", findings.at(name), at)
            for name, condition in plan.conditions.items()
        ]
    drawn = {
        title: [
            curve
            for arm, style in arm_styles(part.plan.arms).items()
            if (curve := _mean_curve(part, Side(arm, rate), style=style))
        ]
        for title, part, rate in shown
    }
    seeds = max((n for curves in drawn.values() for n, _ in curves), default=0)
    panels = [
        Panel(
            title=title, x_label="epoch", curves=[curve for _, curve in curves], percent="whole",
            y_label="" if index else f"validation accuracy (%)\n{show.mean_of(seeds)}, band: 95% "
            "interval", ticks="counts",
        )
        for index, (title, curves) in enumerate(drawn.items())
    ]  # fmt: skip
    drawing = Drawing(
        name="", caption="", panels=panels, size=(2 + 3.6 * len(panels), 4.6), share=True,
        legend_below=True, title_width=36,
    )  # fmt: skip
    return draw_panels(drawing)


def claims(findings: Findings) -> Figure:
    """Every claim's difference beside the differences that it predicts, a group a metric."""
    by_metric: dict[str, list[Judgement]] = {}
    for judgement in findings.differences:
        by_metric.setdefault(judgement.claim.metric, []).append(judgement)
    styles = arm_styles(findings.plan.families)
    groups = []
    for metric, judgements in by_metric.items():
        factor, _ = show.scale(metric)
        unit = show.unit(metric, difference=True).strip()
        unit = f" ({'percentage points' if unit == 'pp' else unit})" if unit else ""
        groups.append(
            Rows(
                rows=[_claim(findings, each, styles=styles, factor=factor) for each in judgements],
                x_label=f"difference in {show.metric_name(metric)}{unit} and 95% interval",
                smallest=factor * max(each.claim.smallest_effect for each in judgements),
            )
        )
    return draw_forest(groups)


def _drawable(judgement: Judgement) -> bool:
    return judgement.comparison is not None and judgement.comparison.interval is not None


def _claim(
    findings: Findings, judgement: Judgement, *, styles: Mapping[str, Style], factor: float
) -> Row:
    claim, found = judgement.claim, judgement.comparison
    lines = [judgement.reason] if judgement.reason else []
    if found is not None:
        lines.insert(0, f"{show.difference(claim.metric, found)}, n = {found.n}")
    if findings.at_edge(claim):
        lines.append("best value at the edge of its grid")
    interval = None if found is None else found.interval
    low, high = (None, None) if interval is None else (factor * end for end in interval)
    return Row(
        label=claim.statement,
        style=styles[claim.sides[0].arm.partition("@")[0]],
        mean=None if found is None or interval is None else factor * found.difference,
        low=low,
        high=high,
        heading=judgement.verdict,
        text="\n".join(lines),
        predicted=_predicted(claim, factor=factor),
    )


def _predicted(claim: Claim, *, factor: float) -> tuple[float | None, float | None]:
    low, high = (factor * end if math.isfinite(end) else None for end in claim.predicted)
    return low, high


def arm_styles(arms: Mapping[str, Arm]) -> dict[str, Style]:
    """Give every arm the style of its loss; what has none, or shares its loss, one of its own."""
    return styles_of({name: arm.loss for name, arm in arms.items()})


def at_rate(plan: Plan, rate: Rate) -> str:
    """Return the title of what was trained at a rate."""
    if rate == "own":
        return f"Each at its own best {plan.parameter_name}"
    reference = f"{plan.reference_label}’s best {plan.parameter_name}"
    return f"All at {reference}" if rate == "reference" else f"At a multiple of {reference}"


def _ends(interval: Interval | None, mean: float, *, factor: float = 1.0) -> tuple[float, float]:
    low, high = interval or (mean, mean)
    return factor * low, factor * high


def _mean_curve(findings: Findings, side: Side, *, style: Style) -> tuple[int, Curve] | None:
    """Return over how many seeds, and their mean accuracy against epoch."""
    planned = [findings.runs.get(run.run) for run in findings.plan.confirming(side)]
    runs = [run for run in planned if run and run.finished]
    seeds = [Seed(run.evaluations, run.status == "diverged") for run in runs]
    means = means_over_seeds(seeds, [_TAG], over="epoch")
    if not means.tags:
        return None
    mean, low, high = means.values.tolist()
    return len(seeds), Curve(
        label=findings.plan.arms[side.arm].label, x=means.x.tolist(), y=mean, low=low, high=high,
        style=style, mark_every=max(1, len(mean) // 8),
    )  # fmt: skip


def _side_by_side(at: Sequence[float], number: int, *, decades: bool) -> list[list[float]]:
    """Return the positions for each arm, a little apart so that no bar hides another."""
    if decades:
        return [[x * factor for x in at] for factor in 10 ** np.linspace(-0.05, 0.05, number)]
    gap = min((abs(a - b) for a in at for b in at if a != b), default=1.0)
    return [[x + offset for x in at] for offset in np.linspace(-0.09, 0.09, number) * gap]
