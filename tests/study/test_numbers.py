"""Numbers from several runs, beside their definitions."""

import math
from statistics import stdev
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from scipy import stats

from losslab.losses import MAP, CrossEntropy, FlatPrior
from losslab.models import Linear
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
    runs["b"].reverse()  # paired by seed, not by place
    monkeypatch.setattr(numbers, "number", lambda run, metric: values[run.group][run.seed])
    left, right = {"left": ["a", "m"]}, ["b", "n"]
    about = {"alone": left, "ratio": left | {"over": right}, "difference": left | {"minus": right}}
    quantities = {name: each | {"what": name} for name, each in about.items()}
    found = numbers.paired(runs, quantities=quantities).quantities
    assert {name: q.value for name, q in found.items()} == {
        "alone": 4.0, "ratio": 2.5, "difference": 2.5
    }  # fmt: skip


def bca(ratio, n):
    """Return the bias-corrected and accelerated interval of Efron 1987 from its definition.

    ``ratio`` gives the statistic of some of the n seeds.
    """
    normal, draws = stats.norm, np.random.default_rng(1).integers(n, size=(20_000, n))
    drawn, value = np.array([ratio(seeds) for seeds in draws]), ratio(np.arange(n))
    bias = normal.ppf(np.mean(drawn < value))
    left_out = np.array([ratio(np.delete(np.arange(n), seed)) for seed in range(n)])
    off = left_out.mean() - left_out
    skew = (off**3).sum() / (6 * (off**2).sum() ** 1.5)
    shifted = bias + normal.ppf([0.025, 0.975])
    return np.quantile(drawn, normal.cdf(bias + shifted / (1 - skew * shifted)))


def accuracies(monkeypatch, **values):
    """Let a run be known by its place in the values of its set."""
    monkeypatch.setattr(numbers, "number", lambda run, metric: run)
    return {name: list(each) for name, each in values.items()}


# Of eight seeds, the last far off, so that a plain percentile interval is another.
START = np.array([0.10, 0.12, 0.09, 0.14, 0.11, 0.13, 0.08, 0.40])
END = np.array([0.50, 0.55, 0.48, 0.60, 0.61, 0.52, 0.55, 0.49])
WHOLE = np.array([0.90, 0.93, 0.89, 0.91, 0.94, 0.90, 0.92, 0.91])


def test_a_share_is_that_of_the_mean_gap(monkeypatch):
    about = {"part": {"from": "a", "to": "b", "whole": "c", "what": "part"}}
    about["none"] = about["part"] | {"whole": "a"}
    runs = accuracies(monkeypatch, a=START, b=END, c=WHOLE)
    found = numbers.shares(runs, quantities=about).quantities
    assert list(found) == ["part"]  # without a gap there is nothing to share
    share = found["part"]
    gap = (END.mean() - START.mean()) / (WHOLE.mean() - START.mean())
    assert share.value == pytest.approx(gap)
    expected = bca(lambda s: (END - START)[s].mean() / (WHOLE - START)[s].mean(), 8)
    assert share.interval == pytest.approx(expected, abs=0.01)


def test_a_ratio_of_spreads_is_that_of_standard_deviations(monkeypatch):
    runs = accuracies(monkeypatch, narrow=END, wide=START)
    found = numbers.spread_ratio(runs, over="wide", tag="test/accuracy").quantities
    assert list(found) == ["narrow"]
    assert found["narrow"].value == pytest.approx(stdev(END) / stdev(START))
    expected = bca(lambda s: END[s].std() / START[s].std() if len({*s}) > 1 else 1.0, 8)
    assert found["narrow"].interval == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_a_ratio_of_spreads_of_few_seeds_has_no_interval(monkeypatch, seeds):
    runs = accuracies(monkeypatch, narrow=END[:seeds], wide=START[:seeds])
    found = numbers.spread_ratio(runs, over="wide", tag="test/accuracy").quantities["narrow"]
    assert found.interval == (-math.inf, math.inf)


def test_a_share_of_one_seed_and_one_that_is_the_same_for_all(monkeypatch):
    about = {"half": {"from": "a", "to": "b", "whole": "c", "what": ""}}
    runs = accuracies(monkeypatch, a=START[:1], b=END[:1], c=WHOLE[:1])
    one = numbers.shares(runs, quantities=about).quantities["half"]
    assert one.interval == (-math.inf, math.inf)
    runs = accuracies(monkeypatch, a=START, b=(START + WHOLE) / 2, c=WHOLE)
    same = numbers.shares(runs, quantities=about).quantities["half"]
    assert (same.value, *same.interval) == pytest.approx((0.5, 0.5, 0.5))


def test_a_chosen_value_is_divided_by_that_of_the_other_set(tmp_path):
    runs = {
        name: [Run(root=tmp_path, group=name, seed=0, composed=OmegaConf.create(config))]
        for name, config in (
            ("mse", {"optimizer": {"lr": 0.6}}),
            ("cross_entropy", {"optimizer": {"lr": 0.2}}),
        )
    }
    found = numbers.chosen_ratio(runs, over="cross_entropy").quantities
    assert {name: each.value for name, each in found.items()} == {"mse": pytest.approx(3.0)}


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
    # Half of a class is not below a half.
    half = numbers.lost_classes({"arm": [(0, 1, 1, 1, 2, 2)]}, below=0.5).quantities["arm"]
    assert half.value == 0.0


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
        "early@a": runs([0.9, 0.9], 1), "early@b": runs([0.95, 0.95], 4),
    }  # fmt: skip
    found = numbers.slowdown(given, against="fast", level=0.9, labels={"slow@a": "Slow, very, 1"})
    assert list(found.quantities) == ["slow"]
    slow = found.quantities["slow"]
    assert (slow.value, slow.low, slow.high, slow.n) == pytest.approx((4, 4, 4, 2))
    assert found.tables[0].rows == [
        *(["fast", "2"], ["Slow, very", "8"], ["never", "–"], ["early", "–"])
    ]


def test_a_seed_that_stays_below_the_level_leaves_a_slowdown_without_an_end(monkeypatch):
    monkeypatch.setattr(numbers, "number", lambda run, metric: run[metric])
    accuracies = {"fast": ([0.8, 0.8], [1.0, 1.0]), "slow": ([0.1, 0.1], [0.95, 0.88])}
    given = {
        f"{arm}@{epochs}": [{"test/accuracy": value, "epoch": epochs} for value in values]
        for arm, by_length in accuracies.items()
        for epochs, values in zip((1, 4), by_length, strict=True)
    }
    assert numbers.slowdown(given, against="fast", level=0.9).quantities["slow"].high == np.inf


def test_the_interval_of_a_slowdown_is_of_the_95_percent_in_the_middle(monkeypatch):
    monkeypatch.setattr(numbers, "number", lambda run, metric: run[metric])
    ends = {"fast": (0.8, [1.0, 1.0, 1.0]), "slow": (0.1, [0.95, 0.95, 0.92])}
    given = {
        f"{arm}@{epochs}": [{"test/accuracy": value, "epoch": epochs} for value in values]
        for arm, (start, end) in ends.items()
        for epochs, values in ((1, [start] * 3), (4, end))
    }
    found = numbers.slowdown(given, against="fast", level=0.9).quantities["slow"]
    # One draw in 27 has the last seed alone, and eight have it never; fast is there at 2 epochs.
    assert found.high == pytest.approx(4 ** (0.8 / 0.82) / 2)
    assert found.low == pytest.approx(4 ** (0.8 / 0.85) / 2)


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
    ends = [read_records(run.files.metrics)[-1] for run in runs]
    assert all("test/accuracy" in end for end in ends)
    assert early["arm_all"].value == pytest.approx(np.mean([end["wall_s"] for end in ends]))
    assert math.isinf(never["arm_seconds"].value)
    assert early["arm_accuracy"].value == np.mean([run.summary["test/accuracy"] for run in runs])
    assert early["arm_accuracy"].n == 3
    first, _, last = (measured.tables[0].rows[0] for measured in found.values())
    assert (first[0], first[2], first[4]) == ("Arm", "3 of 3", "0.0")
    assert last[2:5] == ["0 of 3", "–", "–"]


def test_the_speed_of_an_arm_is_its_signal_over_its_largest_eigenvalue(monkeypatch):
    """Against a full Hessian and a step of gradient descent, from 128 of 200 training images."""
    source = torch.Generator().manual_seed(0)
    images = torch.randn(200, 1, 2, 2, generator=source, dtype=torch.float64)
    labels = torch.randint(3, (200,), generator=source)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Linear((1, 2, 2), 3).double()
    parts = SimpleNamespace(
        move=lambda: None, device="cpu", model=model,
        dataset=SimpleNamespace(tensors=lambda part: (images, labels)),
        objective=MAP(CrossEntropy(), FlatPrior(), num_train=200),
    )  # fmt: skip
    monkeypatch.setattr(numbers, "build", lambda config: parts)
    found = numbers._speed(SimpleNamespace(composed=None))

    x, y = images[:128].flatten(1), labels[:128]
    weights = torch.cat([model.output.weight, model.output.bias[:, None]], dim=1).detach()

    def logits(w):
        return x @ w[:, :4].T + w[:, 4]

    def loss(w):
        return torch.nn.functional.cross_entropy(logits(w), y)

    def margin(w):
        z, true = logits(w), torch.nn.functional.one_hot(y, 3)
        return ((true - (1 - true) / 2) * z).sum(1).mean()

    (step,) = torch.autograd.grad(loss(weights.requires_grad_()), weights)
    signal = (margin(weights - 1e-3 * step) - margin(weights)) / 1e-3
    hessian = torch.autograd.functional.hessian(loss, weights).reshape(15, 15)
    expected = signal / torch.linalg.eigvalsh(hessian)[-1]
    assert found == pytest.approx(expected.item(), rel=1e-3)


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
