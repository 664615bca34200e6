"""Numbers from several runs, beside their definitions."""

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy import stats

from losslab.recording import Run, read_records
from losslab.study import numbers


@pytest.fixture
def predict(monkeypatch):
    """Let a run be known by what it answers; the true classes are 0, 0, 1, 1, 2, 2."""

    def answers(run):
        return torch.eye(3)[list(run)], torch.tensor([0, 0, 1, 1, 2, 2])

    monkeypatch.setattr(numbers, "predictions", answers)


def test_paired_measures_numbers_ratios_and_differences(monkeypatch, tmp_path):
    values = {"a": [2.0, 6.0], "b": [1.0, 2.0]}
    runs = {name: [Run(root=tmp_path, group=name, seed=s) for s in (0, 1)] for name in values}
    monkeypatch.setattr(numbers, "number", lambda run, metric: values[run.group][run.seed])
    left, right = {"left": ["a", "m"]}, ["b", "n"]
    about = {"alone": left, "ratio": left | {"over": right}, "difference": left | {"minus": right}}
    quantities = {name: each | {"what": name} for name, each in about.items()}
    found = numbers.paired(runs, quantities=quantities).quantities
    assert {name: q.value for name, q in found.items()} == {
        "alone": 4.0, "ratio": 2.5, "difference": 2.5
    }  # fmt: skip


def test_a_rank_correlation_is_spearmans_of_the_means(monkeypatch, tmp_path):
    draw = np.random.default_rng(1)
    values = {"x": draw.normal(size=(5, 6)) + np.arange(5)[:, None], "y": draw.normal(size=(5, 6))}
    runs = {
        f"arm {arm}": [
            Run(root=tmp_path, group=str(arm), seed=s, choices={"loss": "mse"}) for s in range(6)
        ]
        for arm in range(5)
    }
    monkeypatch.setattr(
        numbers, "number", lambda run, metric: values[metric][int(run.group), run.seed]
    )
    measured = numbers.rank_correlation(runs, x="x", y="y", labels={"arm 0": "first"})
    found = measured.quantities["correlation"]
    assert found.value == pytest.approx(
        stats.spearmanr(*(v.mean(axis=1) for v in values.values()))[0]
    )
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert (found.n, measured.tables[0].rows[0][0]) == (6, "first")
    assert [curve.x for curve in measured.drawings[0].panels[0].curves] == [
        [pytest.approx(mean)] for mean in values["x"].mean(axis=1)
    ]
    # Without noise over seeds the ranks are sure.
    values["y"] = -np.arange(5.0)[:, None] * np.ones(6)
    values["x"] = np.arange(5.0)[:, None] * np.ones(6)
    sure = numbers.rank_correlation(runs, x="x", y="y").quantities["correlation"]
    assert (sure.value, sure.low, sure.high) == pytest.approx((-1, -1, -1))


def test_disagreement_leaves_out_one_run_at_a_time(predict):
    classes = np.random.default_rng(0).integers(3, size=(5, 6))

    def mean(rows):
        pairs = [(a, b) for a in rows for b in rows if a < b]
        return np.mean([np.mean(classes[a] != classes[b]) for a, b in pairs])

    found = numbers.disagreement({"arm": classes.tolist()}).quantities["arm"]
    left_out = [mean([row for row in range(5) if row != out]) for out in range(5)]
    error = np.sqrt(4 / 5 * np.sum((left_out - np.mean(left_out)) ** 2))
    assert found.value == pytest.approx(mean(range(5)))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 4) * error)
    pair = numbers.disagreement({"arm": classes[:2].tolist()}).quantities["arm"]
    assert (pair.low, pair.high) == (0.0, 1.0)


def test_lost_classes_are_those_with_no_recall(predict):
    runs = [(0, 0, 1, 1, 2, 2), (0, 1, 1, 1, 1, 1), (0, 0, 0, 0, 0, 0), (2, 0, 1, 0, 2, 1)]
    measured = numbers.lost_classes({"arm": runs}, labels={"arm": "Arm"})
    found = measured.quantities["arm"]
    assert (found.value, found.n) == (0.5, 4)
    # Clopper and Pearson: where 2 of 4 or more, and 2 of 4 or fewer, have a chance of 2.5%.
    assert stats.binom.sf(1, 4, found.low) == pytest.approx(0.025)
    assert stats.binom.cdf(2, 4, found.high) == pytest.approx(0.025)
    assert measured.tables[0].rows == [["Arm", "2 of 4", "1, 2"]]


def test_slowdown_is_the_ratio_of_interpolated_lengths(monkeypatch):
    monkeypatch.setattr(numbers, "number", lambda run, metric: run[metric])

    def runs(accuracies, epochs):
        return [{"test/accuracy": a, "epoch": epochs} for a in accuracies]

    # Over log epochs, fast reaches 0.9 half way from 1 to 4, slow a third of the way from 4 to 32.
    given = {
        "fast@a": runs([0.8, 0.8], 1), "fast@b": runs([1.0, 1.0], 4), "fast@c": runs([1.0] * 2, 32),
        "slow@a": runs([0.1, 0.1], 1), "slow@b": runs([0.89, 0.89], 4),
        "slow@c": runs([0.92, 0.92], 32),
        "never@a": runs([0.1, 0.1], 1), "never@b": runs([0.2, 0.2], 4),
        "never@c": runs([0.3, 0.3], 32),
    }  # fmt: skip
    found = numbers.slowdown(given, against="fast", level=0.9, labels={"slow@a": "Slow, very, 1"})
    assert list(found.quantities) == ["slow"]
    slow = found.quantities["slow"]
    assert (slow.value, slow.low, slow.high, slow.n) == pytest.approx((4, 4, 4, 2))
    assert found.tables[0].rows == [["fast", "2"], ["Slow, very", "8"], ["never", "–"]]


def test_a_seed_that_stays_below_the_level_leaves_a_slowdown_without_an_end(monkeypatch):
    monkeypatch.setattr(numbers, "number", lambda run, metric: run[metric])
    accuracies = {"fast": ([0.8, 0.8], [1.0, 1.0]), "slow": ([0.1, 0.1], [0.95, 0.88])}
    given = {
        f"{arm}@{epochs}": [{"test/accuracy": value, "epoch": epochs} for value in values]
        for arm, by_length in accuracies.items()
        for epochs, values in zip((1, 4), by_length, strict=True)
    }
    assert numbers.slowdown(given, against="fast", level=0.9).quantities["slow"].high == np.inf


def test_the_time_to_a_value_is_that_of_the_first_evaluation_with_it(losslab):
    losslab.sweep("seed=0,1,2", "trainer.epochs=4", "optimizer.lr=0.003")
    runs = [Run.at(path) for path in losslab.runs()]
    evaluations = [
        [record for record in read_records(run.files.metrics) if "val/accuracy" in record]
        for run in runs
    ]
    second = [each[1]["val/accuracy"] for each in evaluations]
    best = max(record["val/accuracy"] for each in evaluations for record in each)
    found = {
        at_least: numbers.time_to({"arm": runs}, labels={"arm": "Arm"}, at_least=at_least)
        for at_least in (0.0, min(second), best + 0.01)
    }
    start, early, never = (measured.quantities for measured in found.values())
    assert start["arm_epochs"].value == 0.0
    assert 0 < early["arm_epochs"].value <= 1
    expected = [
        next(r["wall_s"] for r in each if r["val/accuracy"] >= min(second)) for each in evaluations
    ]
    assert early["arm_seconds"].value == pytest.approx(np.mean(expected))
    assert early["arm_seconds"].value < early["arm_all"].value
    assert math.isinf(never["arm_seconds"].value)
    assert early["arm_accuracy"].value == np.mean([run.summary["test/accuracy"] for run in runs])
    assert early["arm_accuracy"].n == 3
    first, _, last = (measured.tables[0].rows[0] for measured in found.values())
    assert (first[0], first[2], first[4]) == ("Arm", "3 of 3", "0.0")
    assert last[2:5] == ["0 of 3", "–", "–"]


def test_rescaled_time_closes_the_gap_of_a_loss_that_is_only_slower(monkeypatch):
    """An arm that is at 2e epochs where the other is at e, and one that is ahead by 0.1."""
    monkeypatch.setattr(numbers, "number", lambda run, metric: run[metric])
    monkeypatch.setattr(numbers, "_speed", lambda run: run["speed"])

    class AnyRun(dict):
        choices: ClassVar = {"loss": None}

    kinds = {  # speeds by seed, how many times as slow, how far ahead
        "fast": ((4.0, 4.1, 4.2), 1, 0.0), "slow": ((2.0, 2.1, 2.2), 2, 0.0),
        "ahead": ((4.2, 4.1, 4.0), 1, 0.1), "lost": ((-1.0, -0.9, -0.8), 1, 0.0),
    }  # fmt: skip
    given = {
        f"{arm}@{epochs}": [
            AnyRun(
                {
                    "test/accuracy": 0.5 + 0.1 * math.log2(epochs / slower) + ahead + 0.01 * seed,
                    "epoch": epochs,
                    "speed": speed,
                }
            )
            for seed, speed in enumerate(speeds)
        ]
        for arm, (speeds, slower, ahead) in kinds.items()
        for epochs in (1, 2, 4)
    }
    found = numbers.rescaled(given, against="fast").quantities
    assert found["slow_time"].value == pytest.approx(4.1 / 2.1)
    off = 0.1 * math.log2(4.1 / 2.1 / 2)  # at 1 and 2 epochs, the time being not quite 2
    assert found["slow_gap"].value == pytest.approx(off)
    assert found["ahead_gap"].value == pytest.approx(0.1)
    assert (found["ahead_time"].value, found["ahead_gap"].n) == (1.0, 3)
    assert "lost_gap" not in found  # a negative signal predicts no time
