import math

import pytest
import torch
from sklearn.metrics import log_loss

from losslab.diagnostics import Calibration
from losslab.metrics import adaptive_ece, ece
from losslab.types import Predictions
from viewing import view

SCORES = ("ece", "adaptive_ece", "nll", "brier")


def part(examples: int, *, scale: float = 1.0, seed: int) -> Predictions:
    """Return predictions that are right as often as softmax(logits / scale) says."""
    source = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(examples, 4, generator=source)
    labels = torch.multinomial(logits.softmax(1), 1, generator=source).squeeze(1)
    return Predictions(scale * logits, labels)


def test_scaling_repairs_an_overconfident_network():
    val, test = part(4000, scale=5.0, seed=0), part(4000, scale=5.0, seed=1)
    found, curves = Calibration().measure(view(val=val, test=test))
    assert set(found) == {"temperature", *SCORES, *(f"{name}_scaled" for name in SCORES)}
    assert found["temperature"] == pytest.approx(5, rel=0.1)
    for name in SCORES:
        assert found[f"{name}_scaled"] < found[name]
    assert found["ece_scaled"] < 0.03 < 0.1 < found["ece"]
    scaled = (test.logits.double() / found["temperature"]).softmax(1)
    assert found["nll_scaled"] == pytest.approx(log_loss(test.labels, scaled), rel=1e-6)
    squares = (scaled - torch.nn.functional.one_hot(test.labels)).square().sum(1).mean()
    assert found["brier_scaled"] == pytest.approx(squares.item(), rel=1e-6)
    for divisor, suffix in ((1.0, ""), (found["temperature"], "_scaled")):
        logits = test.logits.double() / divisor
        assert found[f"ece{suffix}"] == pytest.approx(ece(logits, test.labels).item())
        assert found[f"adaptive_ece{suffix}"] == adaptive_ece(logits, test.labels)
    for name in ("reliability", "reliability_scaled"):
        assert sum(curves[name]["count"]) == 4000


def test_the_temperature_is_that_of_validation_alone():
    val = part(500, scale=3.0, seed=0)
    found = [
        Calibration().measure(view(val=val, test=part(500, scale=scale, seed=1))).scalars
        for scale in (0.1, 10.0)
    ]
    assert found[0]["temperature"] == found[1]["temperature"]


def test_a_saturated_network_has_all_numbers():
    val, test = part(50, scale=1e6, seed=0), part(50, scale=1e6, seed=1)
    found, curves = Calibration().measure(view(val=val, test=test))
    assert all(math.isfinite(value) for value in found.values())
    assert curves["reliability"]["confidence"] == [1.0]


def test_what_is_not_finite_gives_nothing():
    good, bad = part(20, seed=0), Predictions(torch.full((20, 4), math.nan), torch.arange(20) % 4)
    assert Calibration().measure(view(val=good, test=bad)) == ({}, {})
    unscaled = Calibration().measure(view(val=bad, test=good))
    assert (set(unscaled.scalars), set(unscaled.curves)) == (set(SCORES), {"reliability"})
    assert Calibration().measure(view()) == ({}, {})


def test_it_looks_once():
    with pytest.raises(ValueError, match=r"every=1; give null"):
        Calibration(every=1)
