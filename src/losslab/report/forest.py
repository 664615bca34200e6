"""Claims as a forest plot: every effect in multiples of the smallest that matters."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from losslab.report import formatting as show
from losslab.report.canvas import INK, MUTED, PALE, new_figure, save, wrap
from losslab.report.claims import Judgement
from losslab.report.findings import Findings
from losslab.report.style import VERDICT_STYLES

_TICKS = (-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100)


def drawable(judgement: Judgement) -> bool:
    """Whether a claim has an interval to draw."""
    return judgement.comparison is not None and judgement.comparison.interval is not None


def claims(findings: Findings, path: Path) -> None:
    """Draw every claim's difference, turned so that the prediction points right.

    Metrics have different units, so each difference is divided by its claim's smallest effect:
    1 is where it begins to matter. The axis is linear up to 2 and logarithmic beyond.
    """
    judgements = findings.judgements
    figure, (axis,) = new_figure(10, 1.5 + 0.62 * len(judgements))
    axis.axvspan(-1, 1, color=PALE, alpha=0.6, linewidth=0, zorder=0)
    axis.axvline(0, color=MUTED, lw=1, zorder=1)
    reach = [3.0, 3.0]
    for row, judgement in enumerate(judgements):
        style = VERDICT_STYLES[judgement.verdict]
        _beside(axis, row, judgement, color=style.color)
        found = judgement.comparison
        if found is None or found.interval is None:
            continue
        factor = (-1 if judgement.claim.direction == "less" else 1) / (
            judgement.claim.smallest_effect
        )
        low, high = sorted(bound * factor for bound in found.interval)
        mean = found.difference * factor
        reach = [max(reach[0], -low), max(reach[1], high)]
        axis.plot([low, high], [row, row], color=style.color, lw=2, solid_capstyle="butt")
        axis.plot(mean, row, style.marker, color=style.color, ms=8, mec="white", mew=0.8)
    axis.set_xscale("symlog", linthresh=2, linscale=1)
    ticks = [tick for tick in _TICKS if -reach[0] <= tick <= reach[1]]
    axis.set_xticks(ticks, [f"{tick}".replace("-", "−") for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.set_xlim(-1.3 * reach[0], 1.3 * reach[1])
    axis.set_ylim(len(judgements) - 0.5, -0.5)
    labels = [_label(judgement) for judgement in judgements]
    axis.set_yticks(range(len(judgements)), labels, fontsize=9, color=INK)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.set_xlabel(
        "difference and 95% interval, in multiples of the smallest that matters (grey: smaller)\n"
        "right of zero: the predicted side; claims marked (=) predict the grey band"
    )
    save(figure, path)


def _label(judgement: Judgement) -> str:
    equal = " (=)" if judgement.claim.direction == "equal" else ""
    return wrap(judgement.claim.statement + equal, 46)


def _beside(axis: Axes, row: int, judgement: Judgement, *, color: str) -> None:
    lines: list[tuple[str, int, dict[str, Any]]] = [
        (judgement.verdict, 1, {"va": "bottom", "color": color, "fontweight": "bold"}),
        (
            show.difference(judgement.claim.metric, judgement.comparison)
            if drawable(judgement)
            else judgement.reason,
            -1,
            {"va": "top", "color": MUTED},
        ),
    ]
    for text, points, how in lines:
        axis.annotate(
            text,
            (1.02, row),
            xycoords=("axes fraction", "data"),
            xytext=(0, points),
            textcoords="offset points",
            fontsize=9,
            **how,
        )
