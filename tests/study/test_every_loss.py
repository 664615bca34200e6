"""The measures of the study ``every_loss``, against all draws counted one by one."""

from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from every_loss import trials

ROOT = Path(__file__).parents[2]
STUDY = yaml.safe_load(
    (ROOT / "experiments" / "every_loss" / "study" / "every_loss.yaml").read_text("utf-8")
)


# The study's file says why. A loss that is added later, without runs of the study, belongs here.
LEFT_OUT = {"kl_divergence", "nll", "gradient_swap"}


def test_every_loss_of_the_library_takes_part():
    known = {path.stem for path in (ROOT / "conf" / "loss").glob("*.yaml")}
    assert set(STUDY["arms"]) == known - LEFT_OUT, "add the loss to the study or to LEFT_OUT"
    assert STUDY["measures"]["trials"]["needs"] == [f"{arm}:grid" for arm in STUDY["arms"]]
    labels = {name: arm["label"] for name, arm in STUDY["arms"].items()}
    assert STUDY["measures"]["trials"]["labels"] == labels


@pytest.mark.parametrize("number", [1, 2, 4, 6])
def test_the_best_of_some_trials_is_the_mean_over_all_draws(number):
    val = np.array([[0.1, 0.5, 0.5], [0.7, 0.2, 0.7]])  # two pairs that tie
    test = np.array([[0.3, 0.1, 0.9], [0.8, 0.2, 0.4]])
    flat = list(zip(val.ravel(), test.ravel(), strict=True))
    found = []
    for drawn in combinations(flat, number):
        best = max(v for v, _ in drawn)
        found.append(np.mean([t for v, t in drawn if v == best]))
    # Of runs that tie any may come first: the mean over those that are drawn, averaged, is that
    # over all that tie.
    assert trials.after(val, test, number) == pytest.approx(np.mean(found))


LABELS = {"one": "one", "other": "other", "third": "third"}


@pytest.fixture
def runs(monkeypatch):
    """Three losses at three rates: the best is the first, the last, and the middle one."""
    right = {
        "one:grid": (0.9, 0.5, 0.1),
        "other:grid": (0.2, 0.3, 0.8),
        "third:grid": (0.4, 0.85, 0.5),
    }

    def answers(run):
        labels = torch.arange(200) % 2
        hit = torch.arange(200) < 200 * run.accuracy
        return torch.nn.functional.one_hot(torch.where(hit, labels, 1 - labels)).double(), labels

    monkeypatch.setattr(trials, "number", lambda run, _: run.accuracy)
    monkeypatch.setattr(trials, "value_of", lambda run, _: run.rate)
    monkeypatch.setattr(trials, "predictions", answers)
    monkeypatch.setattr(trials, "RESAMPLES", 40)
    return {
        name: [
            SimpleNamespace(accuracy=accuracy, rate=rate, seed=seed, path=f"{name}{rate}{seed}")
            for seed in (2, 0, 1)
            for rate, accuracy in zip((0.01, 0.1, 1.0), accuracies, strict=True)
        ]
        for name, accuracies in right.items()
    }


def test_ranks_follow_the_accuracy_after_equal_trials(runs):
    found = trials.trials(runs, labels=LABELS, budgets=(1, 8), against="other")
    values = {name: quantity.value for name, quantity in found.quantities.items()}
    assert values["one_1"] == pytest.approx(0.5)
    assert values["one_8"] == pytest.approx(0.9)
    assert values["third_8_less"] == pytest.approx(0.05)
    assert [values[f"{loss}_rank"] for loss in LABELS] == [1, 3, 2]
    assert values["behind_8"] == pytest.approx(0.05)
    assert (values["level"], values["first"]) == (0, 1)
    cells = found.drawings[1].panels[0].cells
    assert cells.rows == ["one", "third", "other"]
    assert np.sum(cells.values, axis=1) == pytest.approx([100] * 3)


def test_a_borrowed_rate_costs_what_the_loss_loses_there(runs):
    found = trials.borrowed(runs, labels=LABELS)
    values = {name: quantity.value for name, quantity in found.quantities.items()}
    assert values["one"] == pytest.approx((0.8 + 0.4) / 2)
    assert values["from_other"] == pytest.approx((0.8 + 0.35) / 2)
    assert values["pair"] == pytest.approx(np.median([0.8, 0.4, 0.6, 0.5, 0.45, 0.35]))
    assert values["choice"] == pytest.approx(0.05)
    assert found.quantities["one"].low == pytest.approx(0.6, abs=0.1)
    cells = found.drawings[0].panels[0].cells  # by rate: one, third, other
    assert np.array(cells.values)[0] == pytest.approx([0, 40, 80])
