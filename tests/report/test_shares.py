"""Shapley shares against all orders of switching, one by one."""

from itertools import permutations

import numpy as np
import pytest

from losslab.report.estimates import Rechoice, Sample
from losslab.report.plan import Arm, Factorial, Plan, Side
from losslab.report.shares import shapley, shapley_shares
from losslab.report.statistics import interval_of, noise_of, t_interval

CHANCE = np.random.default_rng(0)
FACTORS = {"scale": "scale", "relative": "relative size", "direction": "direction"}
ARMS = tuple(f"cell{place}" for place in range(8))
PLAN = Plan(
    study="swaps", arms={arm: Arm(arm, arm) for arm in ARMS}, reference="cell7", parameter="lr",
    values=(1.0,), select="val/accuracy",
    factorials={"swaps": Factorial(label="SGD", factors=FACTORS, cells=ARMS)},
)  # fmt: skip


def sample(values, moves=None) -> Sample:
    choice = None if moves is None else Rechoice(moves, 5)
    seeds = tuple(range(len(values)))
    return Sample(metric="test/accuracy", seeds=seeds, values=np.array(values), choice=choice)


def measured(cells) -> dict:
    def of(side: Side) -> Sample:
        return cells[ARMS.index(side.arm)]

    return shapley_shares(PLAN, of).quantities


@pytest.mark.parametrize("factors", [1, 2, 3, 4])
def test_the_weights_are_the_mean_over_all_orders(factors):
    values = CHANCE.normal(size=2**factors)
    expected = np.zeros(factors)
    orders = list(permutations(range(factors)))
    for order in orders:
        cell = 0
        for factor in order:
            expected[factor] += (values[cell | 1 << factor] - values[cell]) / len(orders)
            cell |= 1 << factor
    found = [np.dot(shapley(factor, factors), values) for factor in range(factors)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert sum(found) == pytest.approx(values[-1] - values[0])


def test_points_are_those_of_each_seed_with_the_choice_of_rate():
    values = CHANCE.normal(0.9, 0.01, size=(8, 6))
    moves = CHANCE.normal(0, 0.01, size=(8, 50))
    found = measured([sample(*each) for each in zip(values, moves, strict=True)])
    weights = np.array(shapley(1, 3))
    by_seed, moved = 100 * weights @ values, 100 * weights @ moves
    noise = [noise_of(by_seed), Rechoice(moved, 5).noise()]
    quantity = found["swaps.relative"]
    assert quantity.value == pytest.approx(by_seed.mean())
    assert quantity.interval == pytest.approx(interval_of(by_seed.mean(), noise))
    assert quantity.n == 6


def test_shares_add_up_and_their_interval_is_the_bootstraps():
    effects = np.array([0.0, 0.06, 0.02])  # added up in each cell
    switched = np.array([[place >> factor & 1 for factor in range(3)] for place in range(8)])
    values = 0.8 + (switched @ effects)[:, None] + CHANCE.normal(0, 0.01, size=(8, 200))
    found = measured([sample(each) for each in values])
    shares = [found[f"swaps.{name}_share"] for name in FACTORS]
    assert sum(share.value for share in shares) == pytest.approx(1)
    assert [share.value for share in shares] == pytest.approx([0, 0.75, 0.25], abs=0.02)
    draws = CHANCE.integers(200, size=(2000, 200))
    means = values[:, draws].mean(axis=2)
    drawn = np.array(shapley(1, 3)) @ means / (means[-1] - means[0])
    expected = np.quantile(drawn, [0.025, 0.975])
    assert shares[1].interval == pytest.approx(expected, abs=0.002)
    gap = found["swaps.gap"]
    assert gap.interval == pytest.approx(t_interval(100 * (values[-1] - values[0])))


def test_a_gap_below_zero_has_the_shares_of_one_above():
    effects = np.array([0.0, 0.06, 0.02])
    switched = np.array([[place >> factor & 1 for factor in range(3)] for place in range(8)])
    values = 0.8 + (switched @ effects)[:, None] + CHANCE.normal(0, 0.01, size=(8, 10))
    above, below = (measured([sample(each) for each in cells]) for cells in (values, 1 - values))
    for name in FACTORS:
        one, other = (found[f"swaps.{name}_share"] for found in (above, below))
        assert other.value == pytest.approx(one.value)
        assert other.interval == pytest.approx(one.interval)


def test_a_gap_that_may_be_zero_has_no_shares():
    values = CHANCE.normal(0.9, 0.01, size=(8, 6))
    found = measured([sample(each - each.mean()) for each in values])
    assert set(found) == {"swaps.gap", *(f"swaps.{name}" for name in FACTORS)}


def test_without_a_seed_in_common_there_is_nothing():
    assert measured([sample([0.9])] * 7 + [sample([])]) == {}
