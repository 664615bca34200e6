"""Means over seeds: what one seed says, and what cannot be."""

import math

import numpy as np
import pytest
from scipy import stats

from losslab.report.claims import verdict
from losslab.report.statistics import Interval
from losslab.study.measure import curve_over_seeds, over_seeds


def test_one_seed_decides_nothing():
    quantity = over_seeds([0.9], "")
    assert (quantity.low, quantity.high) == (-math.inf, math.inf)
    assert verdict(Interval(0.8, math.inf), quantity.interval, p_holm=0) == "inconclusive"
    curve = curve_over_seeds("", [1.0], np.array([[0.9]]))
    assert curve.low is curve.high is None


def test_an_interval_over_seeds_is_students():
    values = [0.91, 0.93, 0.98, 0.9]
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    quantity = over_seeds(values, "")
    assert (quantity.value, *quantity.interval) == pytest.approx((0.93, *expected))


def test_what_never_ends_in_all_seeds_is_outside_every_range():
    for values, expected in (
        ((math.inf, math.inf), "contradicted"),
        ((50, math.inf), "inconclusive"),
    ):
        interval = over_seeds(values, "").interval
        assert verdict(Interval(-math.inf, 60), interval, p_holm=0) == expected


def test_an_interval_is_drawn_as_far_as_the_number_can_go():
    shares = np.array([[0.1, 0.5], [0.9, 0.5]])
    wide = curve_over_seeds("", [1.0, 2.0], shares)
    # t = 12.706 for two seeds, times 0.8/√2 /√2
    assert wide.low == pytest.approx([0.5 - 12.706 * 0.4, 0.5], abs=1e-3)
    cut = curve_over_seeds("", [1.0, 2.0], shares, bounds=(0.0, 1.0))
    assert (cut.low, cut.high) == ([0.0, 0.5], [1.0, 0.5])
    assert cut.y == wide.y == [0.5, 0.5]


def test_on_a_logarithmic_axis_the_mean_is_geometric():
    curve = curve_over_seeds("", [1.0], np.array([[1.0], [100.0]]), logarithmic=True)
    assert curve.y == pytest.approx([10.0])
