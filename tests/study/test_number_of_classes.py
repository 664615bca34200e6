"""The study ``number_of_classes``: its pairs of digits, and its measures on known numbers."""

from types import SimpleNamespace

import pytest
import torch
from number_of_classes.rows import pairs

from losslab.data import Source
from number_of_classes import rows, speed


@pytest.fixture
def digits(monkeypatch):
    """Let MNIST be 40 and 20 images, each of its own brightness, of the digits in turn."""

    def part(count):
        images = torch.arange(count, dtype=torch.uint8)[:, None, None, None]
        return images.expand(count, 1, 28, 28).clone(), torch.arange(count) % 10

    source = Source("ten", *part(40), *part(20), 10, tuple("0123456789"))
    monkeypatch.setattr(rows, "mnist", lambda **_: source)


def test_each_digit_is_in_one_pair_and_the_pairs_do_not_depend_on_the_classes(digits):
    full = pairs(root="", merge=[1, 1])
    shown = full.train_images[:, 0, 0, ::20].long()
    assert full.train_images.shape == (20, 1, 20, 40)
    assert sorted(shown.flatten().tolist()) == list(range(40))
    assert (shown[:, 0] % 10 * 10 + shown[:, 1] % 10).tolist() == full.train_labels.tolist()
    left, right = full.train_labels // 10, full.train_labels % 10
    for merge, empty, label, count in (
        ([5, 10], 0, left // 5, 2),
        ([2, 5], 0, left // 2 * 2 + right // 5, 10),
        ([2, 5], 90, left // 2 * 2 + right // 5, 100),
    ):
        fewer = pairs(root="", merge=merge, empty=empty)
        assert torch.equal(fewer.train_images, full.train_images)
        assert torch.equal(fewer.test_images, full.test_images)
        assert (fewer.train_labels.tolist(), fewer.num_classes) == (label.tolist(), count)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"merge": [1, 0]}, r"merge=\[1, 0\]"),
        ({"merge": [10, 10]}, "not both 10"),
        ({"merge": [1]}, r"merge=\[1\]"),
        ({"merge": [1, 1], "empty": -1}, "empty=-1"),
    ],
)
def test_what_is_out_of_range_is_named(given, named):
    with pytest.raises(ValueError, match=named):
        pairs(root="", **given)


@pytest.fixture
def runs(monkeypatch):
    """Make runs that are known by their validation accuracies, from before training on."""
    monkeypatch.setattr(
        speed, "record", lambda run, tag, over="": (list(range(len(run.val))), run.val)
    )
    monkeypatch.setattr(
        speed, "number", lambda run, tag: {"val": run.val[-1], "test": run.test}[tag[:-9]]
    )
    values = {"data.merge": [5, 10], "optimizer.lr": 1.0}
    monkeypatch.setattr(speed, "value_of", lambda run, key: {**values, **run.config}[key])

    def make(*accuracies, test=0.0, **config):
        return [
            SimpleNamespace(seed=seed, val=val, test=test, config=config, choices={"loss": "slow"})
            for seed, val in enumerate(accuracies)
        ]

    return make


def test_half_way_is_a_ratio_of_interpolated_epochs(runs):
    # Half way from 1/2 to 0.9 is 0.7.
    given = {
        "fast@k2": runs([0.5, 0.9, 0.9], [0.5, 0.9, 0.9]),
        "slow@k2": runs([0.5, 0.6, 0.8], [0.5, 0.6, 0.8]),
        "never@k2": runs([0.5, 0.5, 0.5], [0.5, 0.6]),  # the second one diverged
        "long": [
            *runs([0.5, 0.5, 0.5, 0.9], [0.5, 0.5, 0.5, 0.9]),
            *runs([0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5], **{"optimizer.lr": 9.0}),
        ],
    }
    labels = {name: f"{name}, 2 (SGD)" for name in given}
    found = speed.half_way(
        given, against="fast", panels={"SGD": ["k2"]}, longer={"long": "k2"}, labels=labels
    )
    values = {name: (q.value, q.low, q.high) for name, q in found.quantities.items()}
    assert values["slow@k2"] == pytest.approx((3, 3, 3))
    assert values["never@k2"] == pytest.approx((4, 4, 4))
    assert values["long"] == pytest.approx((5, 5, 5))
    assert [row[1] for row in found.tables[0].rows] == ["0.5", "1.5", "≥ 2", "2.5"]
    slow, never, arrow = found.drawings[0].panels[0].curves
    assert (slow.label, slow.y) == ("slow@k2", pytest.approx([5.0]))  # of longer training
    assert (never.label, never.y) == ("never@k2", pytest.approx([4.0]))
    assert (arrow.label, arrow.x) == ("not reached: at least", [2.0])
    assert arrow.y[0] > 4.0


def test_the_best_target_is_chosen_by_validation_and_compared_on_the_test_part(runs):
    given = {
        "fast@k2": runs([0.9], [0.9], test=0.9),
        "one@k2": runs([0.8], [0.8], test=0.95),
        "two@k2": runs([0.85], [0.85], test=0.7),
    }
    found = speed.tuned(given, against="fast", labels={name: name for name in given})
    best = found.quantities["k2"]
    assert (best.value, best.low, best.high, best.n) == pytest.approx((-0.2, -0.2, -0.2, 2))
    assert found.tables[0].rows == [["two@k2", "−20.0 pp", "2"]]
