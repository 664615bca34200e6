"""The study ``lost_classes``: its remedies, and its counts against numbers known in advance."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from lost_classes.remedies import FlooredSquaredError, RevivedCNN, dead_channels
from scipy import stats
from torch import nn

from losslab.losses import CrossEntropy, SquaredError
from losslab.models import SmallCNN
from lost_classes import hazard

FOLDER = Path(__file__).parents[2] / "experiments" / "lost_classes"
STUDY = yaml.safe_load((FOLDER / "study" / "lost_classes.yaml").read_text("utf-8"))


def gradients(loss, logits, labels):
    (found,) = torch.autograd.grad(loss(reduction="sum")(logits, labels), logits)
    return found


def test_the_floor_keeps_a_share_of_cross_entropys_gradient_and_the_direction():
    draw = torch.Generator().manual_seed(0)
    logits = (
        torch.randn(40, 10, dtype=torch.float64, generator=draw) * torch.linspace(0, 9, 40)[:, None]
    )
    logits, labels = logits.requires_grad_(), torch.arange(40) % 10
    close = partial(torch.testing.assert_close, atol=1e-12, rtol=1e-6)  # r is 1 − 1 where p_y is 1
    plain = gradients(SquaredError, logits, labels)
    least = 0.02 * gradients(CrossEntropy, logits, labels).norm(dim=1)
    floored = gradients(lambda **more: FlooredSquaredError(0.02, **more), logits, labels)
    close(floored.norm(dim=1), torch.maximum(plain.norm(dim=1), least))
    turned = torch.cosine_similarity(floored, plain)[plain.norm(dim=1) > 1e-9]
    close(turned, torch.ones_like(turned))
    assert 5 < (plain.norm(dim=1) < least).sum() < 35
    values = FlooredSquaredError(reduction="none")(logits, labels)
    close(values, SquaredError(reduction="none")(logits, labels))


def test_dead_channels_alone_are_revived_once():
    images = torch.rand(8, 1, 16, 16)
    start, model = SmallCNN((1, 16, 16), 3, width=2), RevivedCNN((1, 16, 16), 3, width=2)
    for place, channel in ((0, 1), (4, 2)):
        nn.init.constant_(start.features[place].bias, 9.0)
        nn.init.constant_(start.features[place].bias[channel], -99.0)
    dead, fresh = start.state_dict(), {k: v.clone() for k, v in model.state_dict().items()}
    model.initialize_from(images)
    model.load_state_dict(dead)
    for name, value in model.state_dict().items():
        expected = dead[name].clone()
        for place, channel in ((0, 1), (4, 2)):
            if name.startswith(f"features.{place}."):
                expected[channel] = fresh[name][channel]
        torch.testing.assert_close(value, expected, rtol=0, atol=0)
    assert dead_channels(start, images)["4"][2]
    model.load_state_dict(dead)  # as a checkpoint's
    assert dead_channels(model, images)["4"][2]


@pytest.fixture
def runs(monkeypatch):
    """Make stand-ins for runs, each given by its seed, rate and lost classes."""
    monkeypatch.setattr(hazard, "lost", lambda run: run.lost)
    monkeypatch.setattr(
        hazard, "number", lambda run, _: 0.9 - 0.1 * len(run.lost) - 0.01 * run.rate
    )
    monkeypatch.setattr(hazard, "value_of", lambda run, _: run.rate)
    monkeypatch.setattr(hazard, "_median", lambda run, label: 1e-6 if run.seed else 0.1)
    monkeypatch.setattr(hazard, "_alive", lambda members: len(members) - 1)

    def make(loss, **lost):
        return [
            SimpleNamespace(seed=seed, rate=float(rate[1:]), lost=classes, choices={"loss": loss})
            for rate, seeds in lost.items()
            for seed, classes in enumerate(seeds)
        ]

    return make


def test_hazards_are_counts_by_rate(runs):
    squared = runs("mse_softmax", _1=[[], [], [3], []], _2=[[8], [5, 8], [3], []])
    usual = runs("cross_entropy", _1=[[], [], [], []], _2=[[1], [], [], []])
    found = hazard.hazard(
        {"a": squared, "b": usual},
        labels={"a": "A", "b": "B"},
        usual=(1.0, 2.0),
        pairs={"a_b": [("a", 2.0), ("b", 2.0)], "best": [("a", "best"), ("b", "best")]},
    )
    counts = {name: (q.count, q.n) for name, q in found.quantities.items()}
    assert counts == {
        "a_1": (1, 4), "a_2": (3, 4), "a_best": (1, 4), "b_1": (0, 4), "b_2": (1, 4),
        "b_best": (0, 4), "a_b": (2, 2), "best": (1, 1), "ruled_out": (3, 4), "alive": (3, 4),
    }  # fmt: skip
    assert found.tables[0].rows[1] == ["A", "2", "3 of 4", "78.0%", "88.0%"]
    assert len(found.drawings[0].panels[1].curves[0].x) == 8  # every run


def test_recovery_is_counted_over_the_runs_that_had_lost_a_class(runs):
    ways = {
        "start": runs("mse_softmax", _1=[[3], [4], [5, 6], []]),
        "same": runs("mse_softmax", _1=[[3], [4], [5], [1]]),
        "cure": runs("mse_softmax", _1=[[], [], [6], []]),
    }
    labels = {"same": "Same", "cure": "Cure"}
    found = hazard.recovery(ways, start="start", against="same", labels=labels)
    counts = {name: (q.count, q.n) for name, q in found.quantities.items()}
    assert counts == {
        "same": (0, 3), "same_harm": (1, 1), "cure": (2, 3), "cure_harm": (0, 1),
        "cure_beyond": (2, 2),
    }  # fmt: skip
    low = found.quantities["cure"].low
    assert stats.binom.sf(1, 3, low) == pytest.approx(0.025)  # Clopper and Pearson


def test_every_claim_is_about_a_quantity_that_is_measured():
    sets = {*STUDY["arms"], *STUDY["runs"]}
    for claim in STUDY["claims"]:
        measure, _, quantity = claim["quantity"].partition(".")
        node = STUDY["measures"][measure]
        named = {*node.get("pairs", {}), "ruled_out", "alive", *sets}
        named |= {f"{name}_{end}" for name in sets for end in ("beyond", "best")}
        assert quantity in named, claim["id"]
