import pytest
import torch

from losslab.diagnostics import Saturation
from viewing import rows, view, view_of


@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_against_one_example_at_a_time(scale):
    seen = view(scale=scale)
    columns = {"share/saturated_wrong": [], "share/saturated_right": [], "p_true": []}
    columns["share/confident_wrong"] = []
    for logits, label in rows(seen):
        p = logits.detach().squeeze(0).softmax(0)
        p_true = p[label].item()
        columns["p_true"].append(p_true)
        columns["share/saturated_wrong"].append(p_true < 0.001)
        columns["share/saturated_right"].append(p_true > 0.999)
        columns["share/confident_wrong"].append(bool(p.max() >= 0.9 and p.argmax() != label))
    found = Saturation().measure(seen).scalars
    assert found == pytest.approx({name: sum(c) / len(c) for name, c in columns.items()})


def test_both_ends():
    logits = torch.tensor([[8.0, 0.0], [-8.0, 0.0], [6.0, 0.0], [0.0, 0.0]])
    found = Saturation().measure(view_of(logits, torch.zeros(4, dtype=torch.int64))).scalars
    assert found["share/saturated_right"] == 0.25  # 6 is p = 0.9975
    assert found["share/saturated_wrong"] == found["share/confident_wrong"] == 0.25
