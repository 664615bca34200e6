"""Where cross-entropy stands in each universe, and what a choice changes."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from losslab.report.estimates import Comparison, Estimate
from losslab.report.plan import Arm, Condition, Plan
from losslab.report.statistics import Interval
from losslab.report.universes import count_universes, effects, standing

CHANCE = np.random.default_rng(0)
CHOICES = {"net": ("a", "b", "c"), "batch": ("small", "large")}
LEVELS = [dict(zip(CHOICES, each, strict=True)) for each in product(*CHOICES.values())]


def plan_of(levels) -> Plan:
    conditions = {f"u{i}": Condition(f"u{i}", None, each) for i, each in enumerate(levels)}
    arms = {f"{arm}@{name}": Arm(arm, arm, name) for name in conditions for arm in ("ce", "mse")}
    return Plan(
        study="many", arms=arms, conditions=conditions, choices=CHOICES, axis="universe",
        reference="ce", parameter="lr", values=(1.0,), select="val/accuracy",
    )  # fmt: skip


def gap(value: float) -> Comparison:
    side = Estimate(10, 0.9, None, "seeds")
    interval = Interval(value - 0.004, value + 0.004)
    return Comparison(
        n=10, mean=value, interval=interval, covers="seeds", left=side, right=side, p=0.5
    )


def test_intervals_are_those_of_leaving_out_one_universe_at_a_time():
    levels = LEVELS * 4
    values = CHANCE.normal(size=len(levels)) + [each["batch"] == "large" for each in levels]
    design = np.array(
        [[1, e["net"] == "b", e["net"] == "c", e["batch"] == "large"] for e in levels]
    )
    design = design.astype(float)

    def fit(rows):
        return np.linalg.lstsq(design[rows], values[rows], rcond=None)[0]

    every = np.arange(len(levels))
    whole = fit(every)
    # HC3 is the sum of squares of what leaving out each one moves.
    moved = np.array([fit(np.delete(every, i)) - whole for i in every])
    half = stats.t.ppf(0.975, len(levels) - 4) * np.sqrt((moved**2).sum(axis=0))
    found = effects(values, levels, CHOICES)
    assert list(found) == [("net", "b"), ("net", "c"), ("batch", "large")]
    for got, value, width in zip(found.values(), whole[1:], half[1:], strict=True):
        assert got == pytest.approx((value, value - width, value + width))


def test_too_few_universes_have_no_effects():
    assert effects(np.ones(4), LEVELS[:4], CHOICES) == {}
    assert effects(np.ones(6), [LEVELS[0]] * 6, CHOICES) == {}


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((-0.02, -0.01), "ahead"),
        ((-0.009, 0.009), "level"),
        ((0.01, 0.03), "behind"),
        ((-0.011, 0.0), None),
    ],
)
def test_where_the_reference_stands(ends, expected):
    assert standing(*ends) == expected


def test_universes_are_counted_and_an_effect_is_found():
    levels = LEVELS * 2
    values = [-0.03 if each["batch"] == "large" else 0.0 for each in levels]
    plan = plan_of(levels)
    gaps = {f"mse@u{i}": gap(value) for i, value in enumerate(values)}
    found = count_universes(plan, gaps)
    shares = {name: found.quantities[f"mse.{name}"] for name in ("ahead", "level", "behind")}
    assert {name: each.count for name, each in shares.items()} == {
        "ahead": 6, "level": 6, "behind": 0,
    }  # fmt: skip
    assert found.quantities["all.ahead"] == shares["ahead"]
    assert found.quantities["mse.ahead.batch.large"].value == 1
    assert found.quantities["mse.gap.batch.large"].value == pytest.approx(-3)
    assert found.quantities["mse.gap.net.c"].value == pytest.approx(0)
    counts, by_choice, added = found.tables
    assert counts.rows[0][:4] == ["mse", "12", "6 (6 surely)", "6 (6 surely)"]
    assert by_choice.rows[-1] == ["large", "6 / 0 / 0", "6 / 0 / 0"]
    assert [row[0] for row in added.rows] == ["b", "c", "large"]
    assert [drawing.name for drawing in found.drawings] == ["choices"]
