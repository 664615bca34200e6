from itertools import product

import numpy as np
import pytest
from scipy import stats

from losslab.report.statistics import (
    Interval,
    Noise,
    binomial_interval,
    holm,
    interval_of,
    range_p,
    share_p,
    sign_flip_p,
    t_interval,
    two_way_interval,
)


def test_t_interval_is_scipys():
    values = np.array([0.91, 0.95, 0.93, 0.94])
    expected = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert t_interval(values) == pytest.approx(expected)


@pytest.mark.parametrize("values", [[], [0.5]])
def test_fewer_than_two_values_have_no_interval(values):
    assert t_interval(np.array(values)) is None


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_noise_of_the_examples_does_not_narrow_the_interval_of_the_seeds(seeds):
    shares = np.linspace(0.6, 0.8, seeds)[:, None]
    matrix = (np.random.default_rng(0).random((seeds, 200)) < shares).astype(np.float64)
    alone, both = t_interval(matrix.mean(axis=1)), two_way_interval(matrix)
    assert both.low <= alone.low
    assert both.high >= alone.high


@pytest.mark.parametrize("shape", [(1, 10), (2, 1)])
def test_one_seed_or_one_example_has_no_two_way_interval(shape):
    assert two_way_interval(np.zeros(shape)) is None


def test_identical_sides_differ_by_exactly_nothing():
    assert two_way_interval(np.zeros((5, 100))) == (0.0, 0.0)


# Standard deviations of seeds, examples, and what is left: each kind of noise alone rules once.
NOISES = [(1.0, 0.0, 0.5), (0.1, 3.0, 0.5), (0.5, 5.0, 2.0), (0.0, 0.2, 3.0)]


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("noise", NOISES)
def test_two_way_interval_covers_the_truth_as_often_as_it_says(noise, seeds):
    generator = np.random.default_rng(0)
    examples, trials = 100, 2000
    shapes = [(seeds, 1), (1, examples), (seeds, examples)]
    hits = 0
    for _ in range(trials):
        parts = zip(noise, shapes, strict=True)
        matrix = 0.7 + sum(scale * generator.normal(size=shape) for scale, shape in parts)
        interval = two_way_interval(matrix)
        hits += interval.low <= 0.7 <= interval.high
    # The binomial's standard deviation is half a percentage point. Satterthwaite's degrees of
    # freedom are a little too many for three seeds that are all the noise. Where single answers
    # are all of it they count twice, and the interval is √2 times as wide as need be.
    assert 0.925 <= hits / trials <= (0.998 if noise == NOISES[3] else 0.97)


def test_noise_of_seeds_alone_gives_students_interval():
    values = np.array([0.91, 0.95, 0.93, 0.94, 0.90])
    found = two_way_interval(np.repeat(values, 50).reshape(5, 50))
    assert found == pytest.approx(t_interval(values))


def test_noise_of_examples_alone_gives_students_interval_over_them():
    values = np.random.default_rng(0).normal(size=200)
    assert two_way_interval(np.tile(values, (10, 1))) == pytest.approx(t_interval(values))


def test_the_standard_error_is_that_of_scipys_welch_test():
    """Two samples of different spread, compared by Welch, are seeds' means and examples' means."""
    matrix = np.random.default_rng(0).normal(size=(10, 30))
    of_seeds, of_examples = matrix.mean(axis=1), matrix.mean(axis=0)
    welch = stats.ttest_ind(of_seeds, of_examples, equal_var=False)
    low, high = welch.confidence_interval(0.95)
    found = two_way_interval(matrix)
    assert found.high - found.low == pytest.approx(high - low)


@pytest.mark.parametrize(("count", "n"), [(0, 30), (7, 30), (30, 30)])
def test_a_binomial_interval_is_scipys_exact_one(count, n):
    expected = stats.binomtest(count, n).proportion_ci(method="exact")
    assert binomial_interval(count, n) == pytest.approx((expected.low, expected.high))


def test_independent_noise_adds_up_as_welch_and_satterthwaite_say():
    one, two = Noise(0.04, 4), Noise(0.01, 9)
    half = stats.t.ppf(0.975, 0.05**2 / (0.04**2 / 4 + 0.01**2 / 9)) * np.sqrt(0.05)
    assert interval_of(1.0, [one, two]) == pytest.approx((1 - half, 1 + half))
    assert interval_of(1.0, [one, Noise(0.0, 2)]) == pytest.approx(interval_of(1.0, [one]))


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_sign_flip_p_counts_all_choices_of_signs(n):
    differences = np.random.default_rng(n).normal(0.5, 1, n)
    sums = [abs(np.dot(signs, differences)) for signs in product([-1, 1], repeat=n)]
    expected = np.mean([s >= abs(differences.sum()) - 1e-12 for s in sums])
    assert sign_flip_p(differences) == expected


@pytest.mark.parametrize("n", [10, 20])
def test_sign_flip_p_of_equal_signs_is_as_small_as_can_be(n):
    p = sign_flip_p(np.full(n, 0.01))
    assert p == (2 / 2**10 if n == 10 else pytest.approx(2 / 100_000, abs=5e-5))


def test_sums_that_are_equal_but_for_rounding_are_ties():
    # Accuracies on 1,000 examples; SciPy's own tolerance misses some ties here and gives 0.83.
    left = np.array([997, 939, 884, 899, 910, 960, 922])
    right = np.array([995, 930, 894, 887, 912, 971, 926])
    signs = np.array(list(product([-1, 1], repeat=7)))
    expected = np.mean(np.abs(signs @ (left - right)) >= abs((left - right).sum()))
    assert sign_flip_p(left / 1000 - right / 1000) == expected


def test_random_signs_estimate_what_all_signs_would_give():
    differences = np.random.default_rng(3).normal(0.5, 1, 18)
    signs = 1 - 2 * (np.arange(2**18)[:, None] >> np.arange(18) & 1)
    exact = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9)
    assert sign_flip_p(differences) == pytest.approx(exact, abs=0.005)
    assert sign_flip_p(differences) == sign_flip_p(differences)


@pytest.mark.parametrize("n", [1, 10])
def test_no_difference_at_all_has_p_one(n):
    assert sign_flip_p(np.zeros(n)) == 1.0


def naive_holm(p_values):
    """The definition: the largest of (m − j + 1) p_(j) over all p_(j) up to one's own."""
    m, ordered = len(p_values), sorted(p_values)
    return [min(1.0, max((m - j) * q for j, q in enumerate(ordered) if q <= p)) for p in p_values]


@pytest.mark.parametrize("p_values", [[0.01, 0.04, 0.03], [0.5, 0.5, 0.001, 0.9], [0.2], []])
def test_holm_is_its_definition(p_values):
    assert holm(p_values) == pytest.approx(naive_holm(p_values))


def test_a_claim_not_measured_yet_counts_in_the_family():
    assert holm([0.01, None, 0.02]) == [0.03, None, 0.04]


def test_range_p_is_that_of_a_t_test_against_the_near_end():
    values = np.array([0.31, 0.42, 0.38, 0.29, 0.45])
    for predicted, end in (((0.2, np.inf), 0.2), ((-np.inf, 0.5), 0.5), ((0.1, 0.5), 0.5)):
        found = range_p(values.mean(), t_interval(values), 5, Interval(*predicted))
        assert found == pytest.approx(stats.ttest_1samp(values, end).pvalue)


@pytest.mark.parametrize(
    ("value", "interval", "n", "predicted", "expected"),
    [
        (0.5, (-np.inf, np.inf), 1, (0.2, np.inf), 1.0),  # one seed tells nothing of the others
        (0.5, (0.5, 0.5), 5, (0.2, np.inf), 0.0),  # no scatter
        (np.inf, (np.inf, np.inf), 5, (0.2, np.inf), 0.0),
        (np.inf, (50.0, np.inf), 5, (0.2, np.inf), 1.0),
        (0.2, (0.1, 0.3), 5, (0.2, np.inf), 1.0),  # at the end itself
    ],
)
def test_range_p_where_no_t_test_can_be(value, interval, n, predicted, expected):
    assert range_p(value, Interval(*interval), n, Interval(*predicted)) == expected


@pytest.mark.parametrize(("count", "n", "end"), [(7, 30, 0.1), (0, 30, 0.15), (30, 30, 0.8)])
def test_share_p_is_the_exact_test_that_the_exact_interval_inverts(count, n, end):
    predicted = Interval(end, np.inf) if count / n > end else Interval(-np.inf, end)
    tails = (stats.binomtest(count, n, end, side).pvalue for side in ("less", "greater"))
    assert share_p(count, n, predicted) == pytest.approx(2 * min(tails))
    for bound in binomial_interval(count, n):
        if 0 < bound < 1:
            assert share_p(count, n, Interval(bound, np.inf)) == pytest.approx(0.05)


def test_a_share_of_none_is_no_evidence():
    assert share_p(0, 0, Interval(0.5, np.inf)) == 1.0
