"""One colour, marker and line for each arm of a study: those of its loss."""

from collections.abc import Mapping

from losslab.report.plan import Arm
from losslab.styles import (
    BLACK,
    BLUE,
    DASH_DOT,
    DASHED,
    DOTTED,
    GREEN,
    GREY,
    LONG_DASH,
    LOSS_STYLES,
    ORANGE,
    PURPLE,
    SKY,
    SOLID,
    VERMILLION,
    Style,
)

_OTHER_COLORS = (PURPLE, SKY, GREY, ORANGE, GREEN, BLUE, VERMILLION, BLACK)
_OTHER_MARKERS = ("<", ">", "d", "v", "p", "h", "8")
_OTHER_LINES = (SOLID, DASHED, DOTTED, DASH_DOT, LONG_DASH)


def arm_styles(arms: Mapping[str, Arm]) -> dict[str, Style]:
    """Give every arm the style of its loss; what has none, or shares its loss, one of its own.

    >>> arm_styles({"mse": Arm("squared error", "mse")})["mse"].marker
    's'
    """
    styles: dict[str, Style] = {}
    others = 0
    for name, arm in arms.items():
        style = LOSS_STYLES.get(arm.loss)
        if style is None or style in styles.values():
            style = Style(
                _OTHER_COLORS[others % len(_OTHER_COLORS)],
                _OTHER_MARKERS[others % len(_OTHER_MARKERS)],
                _OTHER_LINES[others % len(_OTHER_LINES)],
            )
            others += 1
        styles[name] = style
    return styles
