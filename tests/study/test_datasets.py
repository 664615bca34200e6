"""The study ``datasets``: its measure of ends, beside definitions."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from scipy.optimize import brentq
from whole_sets import ends

FOLDER = Path(__file__).parents[2] / "experiments" / "datasets"
STUDY = yaml.safe_load((FOLDER / "study" / "datasets.yaml").read_text("utf-8"))


def test_the_projection_is_the_nearest_distribution():
    """Against the root of Σ max(0, z − τ) = 1, and no step towards a corner comes nearer."""
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(50, 10)) * draw.choice([0.1, 1.0, 20.0], size=(50, 1))
    found = ends.on_simplex(scores)
    for row, z in zip(found, scores, strict=True):
        tau = brentq(
            lambda t, z=z: np.maximum(z - t, 0).sum() - 1, z.min() - 1, z.max(), xtol=1e-14
        )
        np.testing.assert_allclose(row, np.maximum(z - tau, 0), atol=1e-10)
        assert ((z - row) @ (np.eye(10) - row).T <= 1e-9).all()
    np.testing.assert_allclose(ends.on_simplex(found), found, atol=1e-12)


LARGE = ((9.0, 0.0), (0.0, 9.0))


class Ran:
    """A run known by its numbers: validation by epoch, then test accuracy and final logits."""

    def __init__(self, seed, val, test, logits=((0.7, 0.3), (0.3, 0.7))):
        self.seed, self.val, self.test, self.logits = seed, val, test, logits


@pytest.fixture
def known(monkeypatch):
    numbers = {
        "val/accuracy": lambda run: run.val[-1],
        "test/accuracy": lambda run: run.test,
        "why/calibration/ece_scaled": lambda run: 0.0,
        "why/linear_probe/accuracy": lambda run: run.test - 0.1,
    }
    monkeypatch.setattr(ends, "number", lambda run, metric: numbers[metric](run))
    monkeypatch.setattr(ends, "record", lambda run, tag, over: (list(range(len(run.val))), run.val))
    monkeypatch.setattr(
        ends, "predictions",
        lambda run: (torch.tensor(run.logits, dtype=torch.float64), torch.tensor([0, 1])),
    )  # fmt: skip


def test_families_times_and_readings(known):
    runs = {
        "ce@set": [Ran(s, (0.0, 0.8, 0.9), 0.90 + s / 100) for s in (0, 1, 2)],
        "one@set": [Ran(s, (0.0, 0.4, 0.8), 0.95) for s in (2, 1, 0)],
        "best@set": [Ran(s, (0.0, 0.2, 0.85), 0.89 + s / 100, LARGE) for s in (0, 1, 2)],
        "never@set": [Ran(s, (0.0, 0.1, 0.2), 0.2) for s in (0, 1, 2)],
    }  # fmt: skip
    labels = {name: f"{name.partition('@')[0]}, set" for name in runs}
    families = {"ce": ["ce"], "raw": ["one", "best"], "one": ["one"], "soft": ["never"]}
    found = ends.ends(
        runs, families=families, level=0.8, targets={"one": 1.0, "best": 10.0}, labels=labels
    )
    quantities = found.quantities
    # `best` leads on validation, though `one` does on the test part.
    gap = quantities["raw_gap"]
    assert (gap.value, gap.low, gap.high) == pytest.approx((-0.01,) * 3)
    assert "of best minus that of ce" in gap.what
    assert quantities["one_slower"].value == pytest.approx(2)  # epochs 2 and 1
    assert quantities["raw_slower"].value == pytest.approx(1 + 0.6 / 0.65)
    assert np.isinf(quantities["soft_slower"].value)
    # Both are right: the error is what confidence lacks to 1.
    confidence = 1 / (1 + np.exp(-0.4))
    assert quantities["one_softmax"].value == pytest.approx(1 - confidence)
    assert quantities["one_softmax_gap"].value == pytest.approx(0)
    assert quantities["one_simplex"].value == pytest.approx(0.3)
    assert quantities["raw_simplex"].value == pytest.approx(0.05)
    # Cross-entropy has no target and is read by softmax.
    assert quantities["raw_simplex_gap"].value == pytest.approx(0.05 - (1 - confidence))
    assert quantities["raw_probe"].value == pytest.approx(0.8)
    assert quantities["raw_probe_gap"].value == pytest.approx(-0.01)
    assert not {"soft_simplex", "ce_gap"} & set(quantities)
    assert [row[:2] for row in found.tables[0].rows[:2]] == [["ce", "ce"], ["raw", "best"]]
    assert found.tables[0].rows[3][3:5] == ["–", "0 of 3"]


def test_claims_are_about_what_is_measured():
    node = STUDY | STUDY["full"]
    known = {f"{arm}@{condition}" for arm in node["arms"] for condition in node["conditions"]}
    assert set(node["measures"]) == set(node["conditions"])
    for condition, about in node["measures"].items():
        assert set(about["needs"]) == {each for each in known if each.endswith(f"@{condition}")}
        assert {arm for family in about["families"].values() for arm in family} == set(node["arms"])
        assert set(about["targets"]) <= set(node["arms"])
    for claim in node["claims"]:
        measure, _, name = claim["quantity"].partition(".")
        _, *others = node["measures"][measure]["families"]
        kinds = ("gap", "slower", "softmax_gap", "temperature_gap", "simplex_gap", "probe_gap")
        assert name in {f"{family}_{kind}" for family in others for kind in kinds}
        assert claim["id"].endswith(measure)
