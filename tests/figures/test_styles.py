from itertools import combinations
from pathlib import Path

import pytest

from losslab.figures import LOSS_STYLES, styles_of

CONFIGS = Path(__file__).parents[2] / "conf" / "loss"
HEADLINE = ["cross_entropy", "mse", "mse_softmax", "brier", "map_gaussian"]


# A gradient swap is eight losses, not one.
@pytest.mark.parametrize(
    "loss", sorted({path.stem for path in CONFIGS.glob("*.yaml")} - {"gradient_swap"})
)
def test_every_loss_has_a_style(loss):
    assert loss in LOSS_STYLES, f"add {loss} to LOSS_STYLES in src/losslab/figures/styles.py"


def test_no_two_losses_look_the_same_in_grey():
    looks = [(style.marker, str(style.line)) for style in LOSS_STYLES.values()]
    assert len(looks) == len(set(looks))


@pytest.mark.parametrize(("one", "other"), list(combinations(HEADLINE, 2)))
def test_the_headline_losses_differ_in_everything(one, other):
    pairs = zip(LOSS_STYLES[one], LOSS_STYLES[other], strict=True)
    assert all(left != right for left, right in pairs)


def test_arms_that_share_a_loss_look_different():
    styles = styles_of({"sgd": "cross_entropy", "adam": "cross_entropy", "clipped": "clipped"})
    assert styles["sgd"] == LOSS_STYLES["cross_entropy"]
    assert len(set(styles.values())) == 3


def test_arms_of_one_loss_share_no_colour():
    losses = {"ce": "cross_entropy", "ce, Adam": "cross_entropy", "raw": "mse", "raw, Adam": "mse"}
    styles = styles_of(losses | {"smoothed": "label_smoothing", "sum": "brier"})
    assert list(styles) == [*losses, "smoothed", "sum"]
    assert len({style.color for style in styles.values()}) == len(styles)
    assert (styles["ce"], styles["raw"]) == (LOSS_STYLES["cross_entropy"], LOSS_STYLES["mse"])


def test_losses_of_one_family_differ_in_colour_too():
    styles = styles_of({"one": "mse", "fifteen": "rescaled_mse"})
    assert styles["one"] == LOSS_STYLES["mse"]
    assert styles["fifteen"].marker == LOSS_STYLES["rescaled_mse"].marker
    assert styles["fifteen"].color != styles["one"].color


def test_more_names_than_styles_still_have_one():
    assert len(styles_of({str(number): None for number in range(60)})) == 60


def test_what_is_named_as_its_loss_has_its_style_wherever_it_stands():
    styles = styles_of({"five": "rescaled_mse", "rescaled_mse": "rescaled_mse"})
    assert styles["rescaled_mse"] == LOSS_STYLES["rescaled_mse"]
    assert styles["five"].color != styles["rescaled_mse"].color
    assert list(styles) == ["five", "rescaled_mse"]
