from itertools import combinations
from pathlib import Path

import pytest

from losslab.report.plan import Arm
from losslab.report.style import arm_styles
from losslab.styles import LOSS_STYLES

CONFIGS = Path(__file__).parents[2] / "conf" / "loss"
HEADLINE = ["cross_entropy", "mse", "mse_softmax", "brier", "map_gaussian"]


@pytest.mark.parametrize("loss", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_every_loss_has_a_style(loss):
    assert loss in LOSS_STYLES


def test_no_two_losses_look_the_same_in_grey():
    looks = [(style.marker, str(style.line)) for style in LOSS_STYLES.values()]
    assert len(looks) == len(set(looks))


@pytest.mark.parametrize(("one", "other"), list(combinations(HEADLINE, 2)))
def test_the_headline_losses_differ_in_everything(one, other):
    pairs = zip(LOSS_STYLES[one], LOSS_STYLES[other], strict=True)
    assert all(left != right for left, right in pairs)


def test_arms_that_share_a_loss_look_different():
    arms = {
        "sgd": Arm("SGD", "cross_entropy"),
        "adam": Arm("Adam", "cross_entropy"),
        "clipped": Arm("clipped", "clipped"),
    }
    styles = arm_styles(arms)
    assert styles["sgd"] == LOSS_STYLES["cross_entropy"]
    assert len(set(styles.values())) == 3
