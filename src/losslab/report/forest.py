"""Claims as a forest plot: every difference beside the differences that its claim predicts."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from losslab.report import formatting as show
from losslab.report.canvas import INK, MUTED, PALE, new_figure, round_steps, save, wrap
from losslab.report.claims import Judgement
from losslab.report.findings import Findings
from losslab.report.plan import Claim
from losslab.report.style import arm_styles
from losslab.styles import Style

# Beyond this many smallest effects a linear axis would hide the smallest effect itself.
_LINEAR_UP_TO = 12


def drawable(judgement: Judgement) -> bool:
    """Whether a claim has an interval to draw."""
    return judgement.comparison is not None and judgement.comparison.interval is not None


def claims(findings: Findings, path: Path) -> None:
    """Draw every claim's difference and interval, one pair of axes a metric.

    What a claim predicts is shaded: an interval within it supports the claim. A difference has the
    colour of the loss that the claim is about.
    """
    by_metric: dict[str, list[Judgement]] = {}
    for judgement in findings.differences:
        by_metric.setdefault(judgement.claim.metric, []).append(judgement)
    figure, axes = new_figure(
        10, sum(1.0 + 0.62 * len(group) for group in by_metric.values()),
        heights=[len(group) for group in by_metric.values()],
    )  # fmt: skip
    styles = arm_styles(findings.plan.families)
    for axis, (metric, judgements) in zip(axes, by_metric.items(), strict=True):
        _draw(axis, findings, metric, judgements, styles=styles)
    save(figure, path)


def _draw(
    axis: Axes,
    findings: Findings,
    metric: str,
    judgements: Sequence[Judgement],
    *,
    styles: dict[str, Style],
) -> None:
    factor, _ = show.scale(metric)
    smallest = factor * max(judgement.claim.smallest_effect for judgement in judgements)
    reach = 2 * smallest
    axis.axvline(0, color=MUTED, lw=1, zorder=1)
    for row, judgement in enumerate(judgements):
        _beside(axis, row, judgement, edge=bool(findings.at_edge(judgement.claim)))
        found = judgement.comparison
        if found is None or found.interval is None:
            continue
        style = styles[judgement.claim.sides[0].arm.partition("@")[0]]
        low, high = (factor * bound for bound in found.interval)
        reach = max(reach, abs(low), abs(high))
        axis.plot([low, high], [row, row], color=style.color, lw=2.2, solid_capstyle="butt")
        axis.plot(
            factor * found.difference,
            row,
            style.marker,
            color=style.color,
            ms=8,
            mec="white",
            mew=0.6,
        )
    linear = _scale(axis, reach=reach, smallest=smallest)
    for row, judgement in enumerate(judgements):
        left, right = _predicted(judgement.claim, factor=factor, limits=axis.get_xlim())
        axis.add_patch(
            Rectangle((left, row - 0.38), right - left, 0.76, color=PALE, lw=0, zorder=0)
        )
    axis.set_ylim(len(judgements) - 0.5, -0.5)
    labels = [wrap(judgement.claim.statement, 50) for judgement in judgements]
    axis.set_yticks(range(len(judgements)), labels, fontsize=9, color=INK)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    unit = {" pp": " (percentage points)", "": ""}.get(
        show.unit(metric, difference=True), f" ({show.unit(metric, difference=True).strip()})"
    )
    axis.set_xlabel(
        f"difference in {show.metric_name(metric)}{unit} and 95% interval\n"
        "shaded: what the claim predicts"
        + ("" if linear else f"; logarithmic beyond ±{2 * smallest:g}")
    )


def _predicted(claim: Claim, *, factor: float, limits: tuple[float, float]) -> tuple[float, float]:
    low, high = (factor * end for end in claim.predicted)
    return max(low, limits[0]), min(high, limits[1])


def _scale(axis: Axes, *, reach: float, smallest: float) -> bool:
    """Set an axis that shows the smallest effect, however far it reaches; return if linear."""
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


def _beside(axis: Axes, row: int, judgement: Judgement, *, edge: bool) -> None:
    found, lines = judgement.comparison, [judgement.reason] if judgement.reason else []
    if found is not None:
        lines.insert(0, f"{show.difference(judgement.claim.metric, found)}, n = {found.n}")
    if edge:
        lines.append("best value at the edge of its grid")
    middle = 6.0 * (len(lines) - 1)
    texts: list[tuple[str, float, dict[str, Any]]] = [
        (judgement.verdict, middle + 1, {"va": "bottom", "color": INK, "fontweight": "bold"}),
        ("\n".join(lines), middle - 1, {"va": "top", "color": MUTED}),
    ]
    for text, points, how in texts:
        axis.annotate(
            text,
            (1.02, row),
            xycoords=("axes fraction", "data"),
            xytext=(0, points),
            textcoords="offset points",
            fontsize=9,
            **how,
        )
