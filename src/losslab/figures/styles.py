"""One colour, marker and line for each loss, the same in every figure of the project.

The colours are those of Okabe and Ito, which people with any colour vision can tell apart; no two
losses share both marker and line, so that a grey print can be read too.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"


class Style(NamedTuple):
    """How a loss is drawn: matplotlib's colour, marker and line style."""

    color: str
    marker: str
    line: Any


SOLID, DASHED, DOTTED, DASH_DOT = "-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2))
LONG_DASH, DASH_DOT_DOT = (0, (9, 2)), (0, (5, 1.5, 1, 1.5, 1, 1.5))

LOSS_STYLES: Mapping[str, Style] = {
    # the likelihoods, and what equals them
    "cross_entropy": Style(BLACK, "o", SOLID),
    "label_smoothing": Style(GREY, "h", DASHED),
    "kl_divergence": Style(GREY, "d", DASH_DOT),
    "nll": Style(GREY, "H", DOTTED),
    "unnormalized_cross_entropy": Style(GREY, "X", LONG_DASH),
    # squared error
    "mse": Style(VERMILLION, "s", DASHED),
    "mse_softmax": Style(BLUE, "^", DASH_DOT),
    "brier": Style(SKY, "D", DOTTED),
    "mse_sigmoid": Style(SKY, "v", LONG_DASH),
    "rescaled_mse": Style(GREEN, "p", DASH_DOT_DOT),
    "mse_one_sided": Style(PURPLE, "X", DASHED),
    "squentropy": Style(PURPLE, "d", SOLID),
    # priors
    "map_gaussian": Style(ORANGE, "P", LONG_DASH),
    "map_laplace": Style(PURPLE, "*", DOTTED),
    # robust losses and margins
    "mean_absolute_error": Style(PURPLE, "<", SOLID),
    "generalized_cross_entropy": Style(SKY, ">", DASHED),
    "focal": Style(PURPLE, "*", DASH_DOT),
    "multiclass_hinge": Style(GREEN, "X", SOLID),
    "symmetric_cross_entropy": Style(ORANGE, "<", DOTTED),
    "taylor_cross_entropy": Style(BLUE, ">", SOLID),
    "bi_tempered": Style(ORANGE, "h", SOLID),
    # reweighted, normalised, one against the rest
    "poly_loss": Style(GREEN, "p", DASHED),
    "logit_normalization": Style(SKY, "8", DASH_DOT),
    "binary_cross_entropy": Style(ORANGE, "o", DASHED),
}

_OTHERS = [
    Style(*each)
    for each in zip(
        (PURPLE, SKY, GREY, ORANGE, GREEN, BLUE, VERMILLION) * 5,
        ("<", ">", "d", "v", "p", "h", "8") * 5,
        (SOLID, DASHED, DOTTED, DASH_DOT, LONG_DASH) * 7,
        strict=True,
    )
]


_COLORS = (BLUE, GREEN, PURPLE, SKY, ORANGE, VERMILLION, GREY)


def styles_of(losses: Mapping[str, str | None]) -> dict[str, Style]:
    """Return the style of each name's loss; a distinct one for custom and repeated losses.

    Its colour is not used by any other name, as long as colours last.

    >>> styles_of({"raw": "mse"})["raw"].marker
    's'
    """
    styles: dict[str, Style] = {}
    # First, wherever it stands, what is named as its loss.
    for name, loss in sorted(losses.items(), key=lambda each: each[0].partition("@")[0] != each[1]):
        style = LOSS_STYLES.get(loss or "")
        if style is not None and style not in styles.values():
            styles[name] = style
    for name in losses:
        if name not in styles:
            free = [style for style in _OTHERS if style not in styles.values()] or _OTHERS
            taken = {style.color for style in styles.values()}
            styles[name] = next((style for style in free if style.color not in taken), free[0])
    seen: set[str] = set()
    for name in losses:  # of one family, such as squared error with two targets
        taken = {style.color for style in styles.values()}
        others = [color for color in _COLORS if color not in taken]
        if styles[name].color in seen and others:
            styles[name] = styles[name]._replace(color=others[0])
        seen.add(styles[name].color)
    return {name: styles[name] for name in losses}
