"""Choices that are crossed, and the fraction of them that the study `multiverse` takes."""

from collections import Counter
from itertools import combinations
from math import prod

import pytest
from omegaconf import OmegaConf, open_dict

from losslab.folders import CONFIG_FOLDER
from losslab.study.outline import sized
from losslab.study.universes import cross

CHOICES = {
    "model": {"linear": {"overrides": ["model=linear"]}, "mlp": {"overrides": [], "times": 2.0}},
    "start": {
        "usual": {"overrides": ["model.output_bias=0.0"]},
        "sure": {"overrides": ["model.output_bias=5.0"], "times": {"mse": 0.1}},
    },
}
ARMS = {"mse": {"values": [0.18, 0.56]}, "brier": {"values": [1.0]}}


def multiverse(size: str):
    node = OmegaConf.load(CONFIG_FOLDER / "study" / "multiverse.yaml")
    with open_dict(node):
        node.size = size
    return OmegaConf.to_container(sized(node, "multiverse"))


def test_every_combination_has_its_overrides_and_grids():
    found = cross(CHOICES, ARMS)
    assert list(found) == ["linear-usual", "linear-sure", "mlp-usual", "mlp-sure"]
    assert found["linear-sure"]["overrides"] == ["model=linear", "model.output_bias=5.0"]
    assert found["mlp-sure"]["values"] == {"mse": [0.036, 0.11], "brier": [2.0]}
    assert found["mlp-sure"]["choices"] == {"model": "mlp", "start": "sure"}
    assert list(cross(CHOICES, ARMS, ["11", "00"])) == ["linear-usual", "mlp-sure"]


@pytest.mark.parametrize(
    ("listed", "arms", "told"),
    [
        (["02"], ARMS, "study.universes has '02'; give 2 digits"),
        (None, {"mse": {}}, "study.arms.mse.values is missing"),
        (None, {"mze": {"values": [1.0]}}, "study.choices.start.sure.times names 'mse'"),
    ],
)
def test_what_does_not_fit_is_one_line(listed, arms, told):
    with pytest.raises(ValueError, match=told) as raised:
        cross(CHOICES, arms, listed)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_any_two_levels_meet_about_equally_often_in_the_fraction():
    study = multiverse("committed")
    taken = [under["choices"] for under in study["conditions"].values()]
    assert len(taken) == 24
    for pair in combinations(study["choices"], 2):
        met = Counter(tuple(universe[choice] for choice in pair) for universe in taken)
        cells = prod(len(study["choices"][choice]) for choice in pair)
        assert len(met) == cells
        assert set(met.values()) == ({2, 3, 4} if cells == 9 else {24 // cells})
    assert len(multiverse("full")["conditions"]) == 288
