import pytest
import torch

from losslab.diagnostics import Attenuation
from losslab.losses import CrossEntropy, Focal, SquaredError
from viewing import rows, view, view_of

RAW = SquaredError("none")
BRIER = SquaredError("softmax", "sum")


@pytest.mark.parametrize("loss", [RAW, BRIER, Focal()], ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_against_one_example_at_a_time(loss, scale):
    seen = view(loss, scale=scale)
    ratios, groups = [], {}
    for logits, label in rows(seen):
        norms = []
        for each in (loss, CrossEntropy()):
            (gradient,) = torch.autograd.grad(each(logits, label), logits)
            norms.append(float(gradient.norm()))
        ratios.append(norms[0] / norms[1])
        p = logits.detach().squeeze(0).softmax(0)
        name = "confident_right" if p.argmax() == label else "confident_wrong"
        groups.setdefault(name if p.max() >= 0.9 else "uncertain", []).append(ratios[-1])
    found = Attenuation().measure(seen)
    expected = {f"ratio/{name}": sum(some) / len(some) for name, some in groups.items()}
    expected["ratio"] = sum(ratios) / len(ratios)
    ordered = sorted(ratios)
    expected["ratio/median"] = (ordered[11] + ordered[12]) / 2
    assert found.scalars == pytest.approx(expected, rel=1e-9)
    assert sum(found.curves["profile"]["count"]) == len(ratios)


@pytest.mark.parametrize("scale", [1.0, 30.0, 100.0])
def test_cross_entropy_is_the_measure(scale):
    scalars = Attenuation().measure(view(CrossEntropy(), scale=scale)).scalars
    assert scalars == pytest.approx(dict.fromkeys(scalars, 1.0), rel=1e-6)


@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_the_ratio_where_nothing_is_known(num_classes):
    seen = view_of(torch.zeros(1, num_classes), torch.tensor([1]), SquaredError())
    assert Attenuation().measure(seen).scalars["ratio"] == pytest.approx(2 / num_classes**2)


def test_two_classes():
    p = torch.tensor([1e-6, 0.01, 0.3, 0.5, 0.8], dtype=torch.float64)
    logits = torch.stack([p, 1 - p], dim=1).log()
    profile = Attenuation().measure(view_of(logits, p.new_zeros(5).long(), BRIER)).curves["profile"]
    assert profile["mean"] == pytest.approx((4 * p * (1 - p)).tolist())


def test_an_example_without_any_gradient_is_left_out():
    logits = torch.tensor([[2000.0, 0.0], [0.0, 0.0]])
    labels = torch.tensor([0, 0])
    assert Attenuation().measure(view_of(logits, labels, RAW)).scalars["ratio"] < 10
    assert Attenuation().measure(view_of(logits[:1], labels[:1], RAW)).scalars == {}
