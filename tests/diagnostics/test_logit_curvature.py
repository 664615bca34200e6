import numpy as np
import pytest
import torch

from losslab.diagnostics import LogitCurvature
from losslab.losses import CrossEntropy, Focal, Loss, SquaredError
from viewing import rows, view, view_of

RAW = SquaredError("none")
BRIER = SquaredError("softmax", "sum")


@pytest.mark.parametrize("loss", [CrossEntropy(), RAW, BRIER, SquaredError("sigmoid"), Focal()])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_against_one_example_at_a_time(loss, scale):
    seen = view(loss, scale=scale)
    spectra = []
    for logits, label in rows(seen):
        hessian = torch.autograd.functional.hessian(lambda z, y=label: loss(z, y), logits.detach())
        spectra.append(np.linalg.eigvalsh(hessian.reshape(4, 4).numpy()))
    values = np.stack(spectra)
    negative = values < -1e-6 * np.abs(values).max()
    expected = {
        "share/negative_examples": negative.any(1).mean(),
        "share/negative_eigenvalues": negative.mean(),
        "smallest/mean": values.min(1).mean(),
        "smallest/extreme": values.min(),
        "largest/mean": values.max(1).mean(),
        "largest/extreme": values.max(),
    }
    found = LogitCurvature().measure(seen).scalars
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("loss", [CrossEntropy(), CrossEntropy(0.1), RAW])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1000.0])
def test_a_convex_loss_has_no_negative_eigenvalue(loss, scale):
    found = LogitCurvature().measure(view(loss, scale=scale)).scalars
    assert found["share/negative_examples"] == found["share/negative_eigenvalues"] == 0


@pytest.mark.parametrize("gap", [20.0, 27.0, 30.0, 33.0, 36.0])
def test_where_softmax_saturates_rounding_is_no_curvature(gap):
    random = torch.Generator().manual_seed(0)
    logits = torch.rand(64, 10, generator=random, dtype=torch.float64)
    labels = torch.arange(64) % 10
    logits[torch.arange(64), labels] += gap
    found = LogitCurvature().measure(view_of(logits, labels)).scalars
    assert found["share/negative_examples"] == 0
    assert found["smallest/extreme"] > -1e-13


def test_squared_error_on_raw_scores_has_one_curvature():
    found = LogitCurvature().measure(view(RAW)).scalars
    assert found["smallest/extreme"] == found["largest/extreme"] == 2 / 4


@pytest.mark.parametrize(("p", "negative"), [(0.1, 1), (0.33, 1), (0.34, 0), (0.9, 0)])
def test_two_classes_curve_downwards_below_a_third(p, negative):
    logits = torch.tensor([[p, 1 - p]], dtype=torch.float64).log()
    found = LogitCurvature().measure(view_of(logits, torch.tensor([0]), BRIER)).scalars
    assert found["share/negative_examples"] == negative


def test_only_the_first_examples_are_looked_at():
    logits = torch.cat([torch.zeros(64, 3), torch.full((1, 3), 9.0)])
    labels = torch.zeros(65, dtype=torch.int64)
    whole, part = (LogitCurvature().measure(view_of(logits[:n], labels[:n])) for n in (65, 64))
    assert whole == part


class Overflowing(Loss):
    def per_example(self, logits, target):
        return logits.mul(1e200).square().square().sum(1)


def test_what_cannot_be_computed_is_absent():
    many = view_of(torch.zeros(2, 1000), torch.tensor([0, 1]))
    assert LogitCurvature().measure(many).scalars == {}
    assert LogitCurvature().measure(view(Overflowing())).scalars == {}
