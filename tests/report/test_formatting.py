"""How numbers, intervals and p-values are written."""

import math

import pytest

from losslab.report import formatting
from losslab.report.estimates import EXAMPLES, Estimate
from losslab.report.measurement import Quantity
from losslab.report.statistics import Interval

# A metric and a value; how the value is written, and how a difference of this size is.
WRITTEN = [
    ("test/accuracy", 0.95126, "95.1%", "+95.1 pp"),
    ("test/accuracy", -0.0004, "0.0%", "0.0 pp"),  # a zero has no sign
    ("val/nll", 0.12345, "0.123 nats", "+0.123 nats"),
    ("test/brier", -0.12345, "−0.123", "−0.123"),
    ("test/ece", 0.01234, "1.23%", "+1.23 pp"),
    ("why/calibration/adaptive_ece_scaled", -0.01234, "−1.23%", "−1.23 pp"),
    ("why/calibration/nll_scaled", 0.12345, "0.123 nats", "+0.123 nats"),
    ("why/linear_probe/val/accuracy@start", 0.95126, "95.1%", "+95.1 pp"),
    ("why/flipped_labels/memorised", 0.25126, "25.1%", "+25.1 pp"),
    ("why/logit_gradients/share/too_right", 0.25126, "25.1%", "+25.1 pp"),
    ("why/margins/margin@mean", 1.23456, "1.23", "+1.23"),
    ("why/weight_curvature/hessian/trace", -0.00123456, "−0.00123", "−0.00123"),
]


@pytest.mark.parametrize(("metric", "value", "plain", "difference"), WRITTEN)
def test_each_metric_has_its_unit_and_its_digits(metric, value, plain, difference):
    alone = Estimate(n=1, mean=value, interval=None, covers=EXAMPLES)
    assert formatting.estimate(metric, alone) == plain
    assert formatting.signed(metric, value, None) == f"{difference} –"


def test_an_interval_has_the_digits_of_its_number_and_the_signs_of_a_difference():
    low_high = Interval(-0.00126, 0.0126)
    mean = Estimate(n=2, mean=0.0051, interval=low_high, covers="seeds")
    assert formatting.estimate("test/accuracy", mean) == "0.5% [−0.1, 1.3]"
    assert formatting.signed("test/ece", 0.0051, low_high) == "+0.51 pp [−0.13, +1.26]"


@pytest.mark.parametrize(
    ("p", "written"),
    [
        *((None, "–"), (0.0, "< 0.001"), (0.00099, "< 0.001"), (0.001, "0.001")),
        *((0.0044, "0.004"), (0.0496, "0.050"), (1.0, "1.000")),
    ],
)
def test_a_p_value_has_three_decimals(p, written):
    assert formatting.p_value(p) == written


@pytest.mark.parametrize(
    ("numbers", "written"),
    [
        ((0.51234, 0.25, 0.75678), "0.512 [0.25, 0.757]"),
        ((-2323.4, -2351.2, -2295.1), "−2323 [−2351, −2295]"),
        ((12345.6, 999.4, 1.5e6), "12346 [999, 1.5e+06]"),
        ((1e-7, -1e-8, math.inf), "1e-07 [−1e-08, inf]"),
        ((-0.123456, None, None), "−0.1235"),  # computed exactly
    ],
)
def test_a_quantity_has_three_digits_or_all_before_the_point(numbers, written):
    value, low, high = numbers
    quantity = Quantity(value=value, low=low, high=high, n=5, what="")
    assert formatting.quantity(quantity) == written


@pytest.mark.parametrize(
    ("low", "high", "written"),
    [
        (0.5, math.inf, "at least 0.5"),
        (-math.inf, -0.5, "at most −0.5"),
        (-1.0, 2.0, "−1 to 2"),
    ],
)
def test_a_predicted_range_is_in_words(low, high, written):
    assert formatting.predicted(Interval(low, high)) == written
