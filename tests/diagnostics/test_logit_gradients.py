import pytest
import torch

from losslab.diagnostics import LogitGradients
from losslab.losses import CrossEntropy, SquaredError
from viewing import rows, view, view_of

RAW = SquaredError(activation="none", class_reduction="mean")
BRIER = SquaredError(activation="softmax", class_reduction="sum")


@pytest.mark.parametrize("loss", [CrossEntropy(), RAW, BRIER])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_against_one_example_at_a_time(loss, scale):
    seen = view(loss, scale=scale)
    energies: dict[str, list[float]] = {name: [] for name in (*GROUPS, "too_right")}
    every = []
    for logits, label in rows(seen):
        loss(logits, label).backward()
        gradient = logits.grad.squeeze(0)
        energy = float(gradient @ gradient)
        every.append(energy)
        p = logits.detach().squeeze(0).softmax(0)
        right = bool(p.argmax() == label)
        if p.max() < 0.9:
            energies["uncertain"].append(energy)
        else:
            energies["confident_right" if right else "confident_wrong"].append(energy)
        if right and gradient[label] > 0:
            energies["too_right"].append(energy)
    found = LogitGradients().measure(seen).scalars
    for name, values in energies.items():
        assert found[f"share/{name}"] == pytest.approx(sum(values) / sum(every), abs=1e-6)
        if values and name != "too_right":
            mean = sum(value**0.5 for value in values) / len(values)
            assert found[f"norm/{name}"] == pytest.approx(mean, rel=1e-5)
        else:
            assert f"norm/{name}" not in found
    assert found["norm"] == pytest.approx(sum(e**0.5 for e in every) / len(every), rel=1e-5)


GROUPS = ("confident_wrong", "uncertain", "confident_right")


def test_only_raw_scores_can_be_too_right():
    assert (
        LogitGradients().measure(view(CrossEntropy(), scale=30.0)).scalars["share/too_right"] == 0
    )
    assert LogitGradients().measure(view(RAW, scale=30.0)).scalars["share/too_right"] > 0


def test_the_profile_covers_every_example_once():
    seen = view(BRIER, scale=30.0)
    columns = LogitGradients().measure(seen).curves["profile"]
    assert sum(columns["count"]) == len(seen.labels)
    assert columns["p_true"] == sorted(columns["p_true"])
    total = sum(n * mean for n, mean in zip(columns["count"], columns["mean"], strict=True))
    assert total == pytest.approx(float(seen.logit_gradients.norm(dim=1).sum()), rel=1e-5)


def test_no_gradient_has_no_shares():
    found = LogitGradients().measure(view_of(torch.eye(4), torch.arange(4), RAW)).scalars
    assert not any(name.startswith("share/") for name in found)
    assert found["norm"] == 0
