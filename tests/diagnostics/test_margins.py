import numpy as np
import pytest
import torch

from losslab.diagnostics import Margins
from viewing import rows, view, view_of


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_against_one_example_at_a_time(scale):
    seen = view(scale=scale)
    margins, norms, largest, spreads = [], [], [], []
    for logits, label in rows(seen):
        z = logits.detach().squeeze(0).tolist()
        right = z.pop(label.item())
        margins.append(right - max(z))
        z.append(right)
        norms.append(sum(value**2 for value in z) ** 0.5)
        largest.append(max(map(abs, z)))
        spreads.append(np.std(z))
    assert Margins().measure(seen).scalars == pytest.approx(
        {
            "margin": np.mean(margins),
            "margin/tenth_percentile": np.percentile(margins, 10),
            "share/negative": np.mean([margin < 0 for margin in margins]),
            "logits/norm": np.mean(norms),
            "logits/largest": np.mean(largest),
            "logits/spread": np.mean(spreads),
        }
    )


def test_only_the_scale_sees_a_shift_of_all_scores():
    logits, labels = torch.tensor([[3.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 0])
    here, there = (Margins().measure(view_of(logits + c, labels)).scalars for c in (0.0, 5.0))
    assert here["margin"] == there["margin"] == 0.0
    assert here["logits/spread"] == there["logits/spread"] == 1.0
    assert there["logits/largest"] == here["logits/largest"] + 5.0
