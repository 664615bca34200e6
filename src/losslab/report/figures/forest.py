"""The figure of claims, a forest plot: each number against its prediction."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from losslab.figures import Style
from losslab.figures.canvas import INK, MUTED, PALE, new_figure, round_steps, styled, wrap
from losslab.report import formatting as show
from losslab.report.claims import Judgement
from losslab.report.figures.axes import arm_styles, draw_estimate, name_rows, write_beside
from losslab.report.findings import Findings
from losslab.report.statistics import Interval

# Beyond this many smallest effects a linear axis would hide the smallest effect itself.
_LINEAR_UP_TO = 12


@styled
def claims(findings: Findings) -> Figure:
    """Each claim's number against its prediction: differences by metric, then quantities.

    Exact and infinite numbers are not drawn; the table has them.
    """
    by_metric: dict[str, list[Judgement]] = {}
    for judgement in findings.differences:
        by_metric.setdefault(judgement.claim.metric, []).append(judgement)
    quantities = list(filter(can_be_drawn, findings.quantities))
    heights = [0.62 * len(judgements) + 1.0 for judgements in by_metric.values()]
    heights += [0.8] * len(quantities)
    figure, axes = new_figure(10, sum(heights), heights=heights)
    styles = arm_styles(findings.plan.families)
    for axis, judgements in zip(axes, by_metric.values(), strict=False):
        _forest(axis, judgements, findings=findings, styles=styles)
    for axis, judgement in zip(axes[len(by_metric) :], quantities, strict=True):
        _quantity(axis, judgement)
    return figure


def can_be_drawn(judgement: Judgement) -> bool:
    """Return whether a claim has a finite number that was sampled."""
    number = judgement.quantity.value if judgement.quantity else 0.0
    return bool(judgement.interval) and not judgement.exact and math.isfinite(number)


def _quantity(axis: Axes, judgement: Judgement) -> None:
    """Draw one quantity on its own axis, with the predicted range shaded."""
    found, predicted = judgement.quantity, judgement.claim.predicted
    assert found is not None
    shown = list(filter(math.isfinite, (*found.interval, found.value, *predicted)))
    margin = 0.15 * (max(shown) - min(shown)) or 0.5
    left, right = min(shown) - margin, max(shown) + margin
    bounds = Interval(max(found.interval.low, left), min(found.interval.high, right))
    draw_estimate(axis, 0, found.value, bounds, factor=1, style=Style(INK, "o", "-"))
    low, high = max(predicted.low, left), min(predicted.high, right)
    axis.add_patch(Rectangle((low, -0.38), high - low, 0.76, color=PALE, lw=0, zorder=0))
    axis.set_xlim(left, right)
    axis.xaxis.set_major_locator(round_steps())
    lines = [f"{show.quantity(found)}, n = {found.n}", *filter(None, [judgement.reason])]
    middle = 6.0 * (len(lines) - 1)
    write_beside(axis, 0, judgement.verdict, up=middle + 1, va="bottom", weight="bold")
    write_beside(axis, 0, "\n".join(lines), up=middle - 1, va="top", color=MUTED)
    name_rows([axis], [wrap(judgement.claim.statement, 50)], 9)


def _forest(
    axis: Axes, judgements: Sequence[Judgement], *, findings: Findings, styles: Mapping[str, Style]
) -> None:
    """Draw the differences in one metric, with the predicted ranges shaded."""
    metric = judgements[0].claim.metric
    factor, _ = show.scale(metric)
    smallest = factor * max(each.claim.smallest_effect for each in judgements)
    reach = 2 * smallest
    axis.axvline(0, color=MUTED, lw=1, zorder=1)
    for place, judgement in enumerate(judgements):
        claim, found = judgement.claim, judgement.comparison
        lines = [judgement.reason] if judgement.reason else []
        if found is not None:
            lines.insert(0, f"{show.difference(metric, found)}, n = {found.n}")
            if bounds := found.interval:
                style = styles[claim.sides[0].arm.partition("@")[0]]
                draw_estimate(axis, place, found.mean, bounds, factor=factor, style=style)
                reach = max(reach, *(abs(factor * end) for end in bounds))
        if findings.at_edge(claim):
            lines.append("best value at the edge of its grid")
        middle = 6.0 * max(0, len(lines) - 1)
        write_beside(axis, place, judgement.verdict, up=middle + 1, va="bottom", weight="bold")
        write_beside(axis, place, "\n".join(lines), up=middle - 1, va="top", color=MUTED)
    linear = _scale(axis, reach=reach, smallest=smallest)
    for place, judgement in enumerate(judgements):
        left, right = (
            factor * end if math.isfinite(end) else limit
            for end, limit in zip(judgement.claim.predicted, axis.get_xlim(), strict=True)
        )
        shade = Rectangle((left, place - 0.38), right - left, 0.76, color=PALE, lw=0, zorder=0)
        axis.add_patch(shade)
    name_rows([axis], [wrap(each.claim.statement, 50) for each in judgements], 9)
    unit = show.unit(metric, difference=True).strip()
    unit = f" ({'percentage points' if unit == 'pp' else unit})" if unit else ""
    beyond = "" if linear else f"; logarithmic beyond ±{2 * smallest:g}"
    axis.set_xlabel(
        f"difference in {show.metric_name(metric)}{unit} and 95% interval\n"
        f"shaded: what the claim predicts{beyond}"
    )


def _scale(axis: Axes, *, reach: float, smallest: float) -> bool:
    """Scale an axis so that the smallest effect is visible; return whether it is linear."""
    if reach <= _LINEAR_UP_TO * smallest:
        axis.set_xlim(-1.1 * reach, 1.1 * reach)
        axis.xaxis.set_major_locator(round_steps())
        return True
    axis.set_xscale("symlog", linthresh=2 * smallest, linscale=1)
    decades = range(math.floor(math.log10(smallest)), math.ceil(math.log10(reach)) + 1)
    positive = [m * 10.0**decade for decade in decades for m in (1, 3)]
    positive = [tick for tick in positive if smallest <= tick <= 1.4 * reach]
    ticks = [*(-tick for tick in reversed(positive)), 0.0, *positive]
    axis.set_xticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.set_xlim(-1.4 * reach, 1.4 * reach)
    return False
