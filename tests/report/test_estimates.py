import numpy as np
import pytest

from losslab.report.estimates import Sampler, compare, estimate
from losslab.report.runs import load_runs
from losslab.report.statistics import t_interval
from report.factory import logits_with_accuracy, write_run


def sample(root, group, metric="test/accuracy", *, seeds=5):
    names = tuple(f"{group}/seed={seed}" for seed in range(seeds))
    return Sampler(load_runs(root)).sample(names, metric)


def write_group(root, group, accuracies, **options):
    for seed, accuracy in enumerate(accuracies):
        write_run(root, f"{group}/seed={seed}", accuracy=accuracy, **options)


def test_a_mean_counts_its_seeds_and_covers_both_noises(tmp_path):
    write_group(tmp_path, "a", [0.8] * 5)
    found = estimate(sample(tmp_path, "a"))
    assert (found.n, found.covers) == (5, "seeds and test examples")
    assert found.mean == pytest.approx(0.8, abs=0.03)
    assert found.interval.low < found.mean < found.interval.high


@pytest.mark.parametrize("metric", ["accuracy", "nll", "brier", "ece"])
def test_the_values_are_the_metrics_of_the_runs(tmp_path, metric):
    write_group(tmp_path, "a", [0.8, 0.7, 0.9])
    found = sample(tmp_path, "a", f"test/{metric}", seeds=3)
    assert found.values.shape == (3,)
    assert np.isfinite(found.values).all()
    interval = estimate(found).interval
    assert interval.low < found.values.mean() < interval.high


def test_without_predictions_the_interval_is_that_of_seeds(tmp_path):
    write_group(tmp_path, "a", [0.8, 0.7, 0.9], predictions=False)
    found = sample(tmp_path, "a", "val/accuracy", seeds=3)
    assert estimate(found).covers == "seeds"
    assert estimate(found).interval == (t_interval(np.array([0.8, 0.7, 0.9])).low, 1.0)


def test_runs_tested_on_other_examples_are_not_crossed(tmp_path):
    logits, labels = logits_with_accuracy(0.8, seed=0)
    for seed, order in enumerate((slice(None), slice(None, None, -1))):
        write_run(tmp_path, f"a/seed={seed}", logits=logits[order], labels=labels[order])
    assert estimate(sample(tmp_path, "a", seeds=2)).covers == "seeds"


def test_sides_tested_on_other_examples_are_not_paired_by_example(tmp_path):
    logits, labels = logits_with_accuracy(0.8, seed=0)
    for group, order in (("a", slice(None)), ("b", slice(None, None, -1))):
        for seed in range(2):
            known = {"logits": logits[order], "labels": labels[order]}
            write_run(tmp_path, f"{group}/seed={seed}", **known)
    assert compare(*(sample(tmp_path, group, seeds=2) for group in "ab")).covers == "seeds"


def test_missing_and_failed_runs_are_named(tmp_path):
    write_group(tmp_path, "a", [0.8, 0.7])
    write_run(tmp_path, "a/seed=2", status="failed")
    found = sample(tmp_path, "a", seeds=4)
    assert found.seeds == (0, 1)
    assert found.missing == ("a/seed=2", "a/seed=3")


def test_a_diverged_run_has_an_accuracy_and_no_nll(tmp_path):
    write_group(tmp_path, "a", [0.8, 0.7])
    labels = logits_with_accuracy(0.8, seed=0)[1]
    logits = np.full((len(labels), 4), np.nan)
    write_run(tmp_path, "a/seed=2", status="diverged", logits=logits, labels=labels)
    accuracy, nll = (sample(tmp_path, "a", f"test/{m}", seeds=3) for m in ("accuracy", "nll"))
    assert accuracy.values[2] == np.mean(labels == 0)
    assert (nll.seeds, nll.without) == ((0, 1), ("a/seed=2",))


def test_no_run_has_no_estimate(tmp_path):
    assert estimate(sample(tmp_path, "a")) is None


def test_a_comparison_pairs_by_seed(tmp_path):
    write_group(tmp_path, "a", [0.9, 0.8, 0.7, 0.6], predictions=False)
    write_group(tmp_path, "b", [0.8, 0.7, 0.6], predictions=False)
    found = compare(sample(tmp_path, "a", "val/accuracy"), sample(tmp_path, "b", "val/accuracy"))
    assert found.n == 3
    assert found.mean == pytest.approx(0.1)
    assert found.left.mean == pytest.approx(0.8)
    assert found.interval == pytest.approx((0.1, 0.1))
    assert found.p == 0.25


def test_a_difference_beyond_another_is_their_difference(tmp_path):
    sides = {"a": [0.9, 0.8, 0.9], "b": [0.5, 0.6, 0.4], "c": [0.7, 0.6, 0.7], "d": [0.6, 0.4, 0.3]}
    for group, accuracies in sides.items():
        write_group(tmp_path, group, accuracies, predictions=False)
    left, right, *beyond = (sample(tmp_path, group, "val/accuracy", seeds=3) for group in sides)
    found = compare(left, right, beyond=beyond)
    assert list(found.by_seed.values()) == pytest.approx([0.3, 0.0, 0.1])  # 0.4 − 0.1, ...
    assert (found.left.mean, found.right.mean) == pytest.approx((2.6 / 3, 0.5))


def test_a_paired_difference_is_sharper_than_its_sides(tmp_path):
    write_group(tmp_path, "a", [0.80] * 5)
    write_group(tmp_path, "b", [0.75] * 5)
    sides = [sample(tmp_path, group) for group in "ab"]
    found = compare(*sides)
    assert found.covers == "seeds and test examples"
    assert found.mean == pytest.approx(sides[0].values.mean() - sides[1].values.mean())
    width = found.interval.high - found.interval.low
    assert all(width < estimate(side).interval.high - estimate(side).interval.low for side in sides)


def test_sides_without_common_seeds_cannot_be_compared(tmp_path):
    write_group(tmp_path, "a", [0.8, 0.7])
    assert compare(sample(tmp_path, "a"), sample(tmp_path, "b")) is None


def test_swapping_the_sides_turns_the_sign(tmp_path):
    write_group(tmp_path, "a", [0.8, 0.9, 0.7])
    write_group(tmp_path, "b", [0.6, 0.8, 0.7])
    a, b = sample(tmp_path, "a", "test/ece"), sample(tmp_path, "b", "test/ece")
    forth, back = compare(a, b), compare(b, a)
    assert back.mean == -forth.mean
    assert back.interval == pytest.approx((-forth.interval.high, -forth.interval.low))
    assert back.p == forth.p


def test_an_interval_stays_inside_the_metrics_range(tmp_path):
    write_group(tmp_path, "a", [0.99, 0.60])
    assert estimate(sample(tmp_path, "a", seeds=2)).interval.high == 1.0
