"""What several figures share: styles, positions, rows of estimates."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from losslab.figures import Style, styles_of
from losslab.figures.canvas import INK
from losslab.figures.panels import logarithmic
from losslab.report.plan import Arm, Plan
from losslab.report.statistics import Interval


def arm_styles(arms: Mapping[str, Arm]) -> dict[str, Style]:
    """Return the style of each arm's loss; a distinct one for custom and repeated losses."""
    return styles_of({name: arm.loss for name, arm in arms.items()})


def positions(plan: Plan) -> tuple[list[float], list[str], bool, bool]:
    """Return positions and labels of conditions, whether to use a log axis, whether to scale."""
    known = [condition.position for condition in plan.conditions.values()]
    at = [position for position in known if position is not None]
    scaled = len(at) == len(known)
    # Without a scale, lines between conditions would mean nothing.
    at = at if scaled else [float(index) for index in range(len(known))]
    labels = [condition.label for condition in plan.conditions.values()]
    return at, labels, scaled and logarithmic(at), scaled


def side_by_side(at: Sequence[float], number: int, *, decades: bool) -> list[list[float]]:
    """Return the positions of each arm, slightly apart so that bars do not overlap."""
    places = np.log10(at) if decades else np.asarray(at, float)
    gap = float(np.diff(np.sort(places)).min()) if len(places) > 1 else 1.0
    # Among few positions a third of the distance would look like another position.
    reach = min(0.3 * gap, 0.03 * float(np.ptp(places)) or gap)
    shifts = np.linspace(-reach, reach, number) if number > 1 else np.zeros(1)
    rows = places + shifts[:, None]
    return [list(row) for row in (10**rows if decades else rows).tolist()]


def draw_estimate(
    axis: Axes, place: int, mean: float, bounds: Interval | None, *, factor: float, style: Style
) -> None:
    """Draw a mean and its interval, times ``factor``, in row ``place``."""
    ends = [factor * end for end in bounds or (mean, mean)]
    axis.plot(ends, [place] * 2, color=style.color, lw=2.2, solid_capstyle="butt")
    axis.plot(factor * mean, place, style.marker, color=style.color, ms=8, mew=0.6)


def write_beside(axis: Axes, place: int, text: str, *, up: float = 0, **style: Any) -> None:
    """Write to the right of a row, ``up`` points above its middle."""
    axis.annotate(
        text,
        (1.02, place),
        xycoords=("axes fraction", "data"),
        xytext=(0, up),
        textcoords="offset points",
        **dict[str, Any](va="center", color=INK, fontsize=9) | style,
    )


def name_rows(axes: Sequence[Axes], names: Sequence[str], size: float = 10) -> None:
    """Label the rows of estimates, top to bottom, to the left of the first axes."""
    axes[0].set_yticks(range(len(names)), names, fontsize=size, color=INK)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    for axis in axes:
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
