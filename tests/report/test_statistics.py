from itertools import product

import numpy as np
import pytest
from scipy import stats

from losslab.report.statistics import (
    _counts,
    holm,
    resampled_metric,
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


def test_one_seed_has_no_two_way_interval():
    assert two_way_interval(np.zeros((10, 1)), measured=0.0) is None


def test_resampled_metric_is_that_of_the_drawn_examples():
    features = np.random.default_rng(0).normal(size=(3, 7, 2))
    found = resampled_metric(features, resamples=300)
    for b, row in enumerate(_counts(7, 300, stream=1)[:20]):
        drawn = np.repeat(np.arange(7), row)
        assert len(drawn) == 7
        expected = np.abs(features[:, drawn].mean(axis=1)).sum(axis=-1)
        assert found[b] == pytest.approx(expected)


def test_the_same_numbers_give_the_same_interval():
    features = np.random.default_rng(0).normal(size=(5, 40, 1))
    first = two_way_interval(resampled_metric(features), measured=features.mean())
    _counts.cache_clear()
    assert two_way_interval(resampled_metric(features), measured=features.mean()) == first


def test_identical_sides_differ_by_exactly_nothing():
    assert two_way_interval(np.zeros((1000, 5)), measured=0.0) == (0.0, 0.0)


# Standard deviations of seeds, examples, and what is left: each kind of noise alone rules once.
NOISES = [(1.0, 0.0, 0.5), (0.1, 3.0, 0.5), (0.5, 5.0, 2.0)]


@pytest.mark.parametrize("seeds", [2, 3, 10])
@pytest.mark.parametrize("noise", NOISES)
def test_two_way_interval_covers_the_truth_as_often_as_it_says(noise, seeds):
    generator = np.random.default_rng(0)
    examples, trials = 100, 300
    shapes = [(seeds, 1), (1, examples), (seeds, examples)]
    hits = 0
    for _ in range(trials):
        parts = zip(noise, shapes, strict=True)
        matrix = 0.7 + sum(scale * generator.normal(size=shape) for scale, shape in parts)
        resampled = resampled_metric(matrix[:, :, None], resamples=500)
        interval = two_way_interval(resampled, measured=matrix.mean())
        hits += interval.low <= 0.7 <= interval.high
    # 95% of 300 is 285, the binomial's standard deviation 3.8.
    assert hits / trials >= 0.92
    if noise == NOISES[0]:
        assert hits / trials <= 0.985


def test_noise_of_seeds_alone_gives_students_interval():
    values = np.array([0.91, 0.95, 0.93, 0.94, 0.90])
    resampled = resampled_metric(np.repeat(values, 50).reshape(5, 50, 1))
    found = two_way_interval(resampled, measured=values.mean())
    assert found == pytest.approx(t_interval(values), abs=5e-4)


def test_an_interval_of_seeds_alone_would_miss_the_noise_of_the_test_part():
    matrix = np.random.default_rng(0).normal(size=(1, 200)) + np.zeros((10, 1))
    two_way = two_way_interval(resampled_metric(matrix[:, :, None]), measured=matrix.mean())
    seeds_only = t_interval(matrix.mean(axis=1))
    assert seeds_only.high - seeds_only.low < 1e-12
    assert two_way.high - two_way.low > 0.2


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_sign_flip_p_counts_all_choices_of_signs(n):
    differences = np.random.default_rng(n).normal(0.5, 1, n)
    sums = [abs(np.dot(signs, differences)) for signs in product([-1, 1], repeat=n)]
    expected = np.mean([s >= abs(differences.sum()) - 1e-12 for s in sums])
    assert sign_flip_p(differences) == expected


def test_sign_flip_p_is_scipys_paired_permutation_test():
    generator = np.random.default_rng(0)
    left, right = generator.normal(0.3, 1, 9), generator.normal(0, 1, 9)
    expected = stats.permutation_test(
        (left, right),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert sign_flip_p(left - right) == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("n", [10, 20])
def test_sign_flip_p_of_equal_signs_is_as_small_as_can_be(n):
    p = sign_flip_p(np.full(n, 0.01))
    assert p == (2 / 2**10 if n == 10 else pytest.approx(1 / 100_001, abs=5e-5))


def test_random_signs_estimate_what_all_signs_would_give():
    differences = np.random.default_rng(3).normal(0.4, 1, 16)
    signs = 1 - 2 * (np.arange(2**16)[:, None] >> np.arange(16) & 1)
    exact = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9)
    assert sign_flip_p(differences) == pytest.approx(exact, abs=0.005)


def test_no_difference_at_all_has_p_one():
    assert sign_flip_p(np.zeros(10)) == 1.0


def naive_holm(p_values):
    """The definition: the largest of (m − j + 1) p_(j) over all p_(j) up to one's own."""
    m, ordered = len(p_values), sorted(p_values)
    return [min(1.0, max((m - j) * q for j, q in enumerate(ordered) if q <= p)) for p in p_values]


@pytest.mark.parametrize("p_values", [[0.01, 0.04, 0.03], [0.5, 0.5, 0.001, 0.9], [0.2], []])
def test_holm_is_its_definition(p_values):
    assert holm(p_values) == pytest.approx(naive_holm(p_values))


def test_a_claim_not_measured_yet_counts_in_the_family():
    assert holm([0.01, None, 0.02]) == [0.03, None, 0.04]
