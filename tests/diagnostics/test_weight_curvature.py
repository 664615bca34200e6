import math

import pytest
import torch
from torch import nn
from torch.func import functional_call

from losslab.diagnostics import WeightCurvature
from losslab.losses import CrossEntropy, MulticlassHinge, SquaredError, UnnormalizedCrossEntropy
from losslab.models import MLP, Linear, SmallCNN
from losslab.types import Batch
from viewing import CLASSES, parameter_count, view

RAW = SquaredError(activation="none", class_reduction="mean")
BRIER = SquaredError(activation="softmax", class_reduction="sum")
SHAPE = (1, 4, 4)


def central_hessian(seen) -> torch.Tensor:
    """Return H by differences of gradients: no second derivative of torch is asked for."""
    parameters = [p for p in seen.model.parameters() if p.requires_grad]
    start = nn.utils.parameters_to_vector(parameters).detach()

    def gradient(flat):
        nn.utils.vector_to_parameters(flat, parameters)
        mean = seen.objective.per_example(seen.model(seen.probe.images), seen.labels).mean()
        return nn.utils.parameters_to_vector(torch.autograd.grad(mean, parameters)).detach()

    steps = 1e-6 * torch.eye(len(start), dtype=start.dtype)
    rows = [(gradient(start + step) - gradient(start - step)) / 2e-6 for step in steps]
    nn.utils.vector_to_parameters(start, parameters)
    return torch.stack(rows)


def gauss_newton(seen) -> torch.Tensor:
    """Return mean Jᵀ H_z J, each example's Jacobian and logit Hessian formed in full."""
    names = [name for name, p in seen.model.named_parameters() if p.requires_grad]
    values = tuple(seen.model.get_parameter(name).detach() for name in names)
    total = torch.zeros(())
    for image, label in zip(seen.probe.images, seen.labels, strict=True):
        image, label = image.unsqueeze(0), label.unsqueeze(0)

        def logits(*values, image=image):
            return functional_call(seen.model, dict(zip(names, values, strict=True)), image)

        parts = torch.autograd.functional.jacobian(logits, values)
        jacobian = torch.cat([part.reshape(CLASSES, -1) for part in parts], 1)
        curvature = torch.autograd.functional.hessian(
            lambda z, label=label: seen.objective.per_example(z, label).sum(), logits(*values)
        ).reshape(CLASSES, CLASSES)
        total = total + jacobian.T @ curvature @ jacobian
    return total / len(seen.labels)


@pytest.mark.parametrize("normalization", ["none", "layer"])
@pytest.mark.parametrize("loss", [CrossEntropy(), RAW, BRIER])
def test_against_the_full_matrices(loss, normalization):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MLP(SHAPE, CLASSES, width=3, depth=1, normalization=normalization, output_scale=10)
    seen = view(loss, model=model)
    assert parameter_count(model) > 60
    found = WeightCurvature(eigenvalues=2, trace_products=198).measure(seen).scalars
    hessian = central_hessian(seen)
    for name, matrix in {"hessian": hessian, "gauss_newton": gauss_newton(seen)}.items():
        expected = torch.linalg.eigvalsh(matrix)
        ends = {"smallest": 0, "smallest_2": 1, "largest_2": -2, "largest": -1}
        # Where many eigenvalues lie at an end, Lanczos finds it to its tolerance only.
        slack = 5e-3 * float(expected.abs().max())
        for end, index in ends.items():
            value = found.pop(f"{name}/{end}")
            assert value == pytest.approx(float(expected[index]), abs=slack)
    # with at least as many vectors as weights Hutch++ is exact
    assert found == {"hessian/trace": pytest.approx(float(hessian.trace()), rel=1e-6)}


def test_convex_losses_have_no_negative_gauss_newton_curvature_and_brier_has():
    smallest = {}
    for name, loss in {"cross_entropy": CrossEntropy(), "raw": RAW, "brier": BRIER}.items():
        found = WeightCurvature().measure(view(loss, scale=30.0)).scalars
        assert found["hessian/smallest"] < 0
        smallest[name] = found["gauss_newton/smallest"] / found["gauss_newton/largest"]
    assert smallest["cross_entropy"] == pytest.approx(0, abs=1e-3)
    assert smallest["raw"] == pytest.approx(0, abs=1e-3)
    assert smallest["brier"] < -0.1


def test_the_trace_of_a_network_of_relus_is_that_of_its_gauss_newton_part():
    seen = view(CrossEntropy())
    assert float(gauss_newton(seen).trace()) == pytest.approx(float(central_hessian(seen).trace()))


@pytest.mark.parametrize("normalization", ["batch", "group", "layer"])
def test_convolutions_and_normalisations(normalization):
    model = SmallCNN((1, 12, 12), CLASSES, width=1, normalization=normalization)
    images = torch.randn(8, 1, 12, 12, generator=torch.Generator().manual_seed(0)).double()
    seen = view(BRIER, model=model, probe=Batch(images, torch.arange(8) % CLASSES))
    expected = torch.linalg.eigvalsh(central_hessian(seen))
    found = WeightCurvature().measure(seen).scalars
    slack = 1e-3 * float(expected[-1])
    assert found["hessian/largest"] == pytest.approx(float(expected[-1]), abs=slack)
    assert found["hessian/smallest"] == pytest.approx(float(expected[0]), abs=slack)


def test_no_more_examples_count_than_were_asked_for():
    whole = view(BRIER)
    whole.model.requires_grad_(False).output.bias.requires_grad_()
    first = view(BRIER, model=whole.model, probe=Batch(*(part[:8] for part in whole.probe)))
    found = WeightCurvature(examples=8).measure(whole)
    assert found == WeightCurvature().measure(first) != WeightCurvature().measure(whole)


def test_two_classes():
    model = Linear(SHAPE, 2)
    images = torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(0)).double()
    seen = view(CrossEntropy(), model=model, probe=Batch(images, torch.arange(8) % 2))
    found = WeightCurvature().measure(seen).scalars
    largest = float(torch.linalg.eigvalsh(central_hessian(seen))[-1])
    # a linear network is all Gauss-Newton
    assert found["hessian/largest"] == pytest.approx(largest, rel=1e-3)
    assert found["gauss_newton/largest"] == pytest.approx(largest, rel=1e-3)


def test_only_weights_that_are_trained_count():
    seen = view(RAW)
    seen.model.requires_grad_(False)
    assert WeightCurvature().measure(seen) == ({}, {})
    seen.model.output.bias.requires_grad_()
    found = WeightCurvature(trace_products=12).measure(seen).scalars
    # ∂²/∂b² of ‖z − y‖²/K is 2/K in each of the K directions
    for name in ("hessian/largest", "gauss_newton/smallest"):
        assert found[name] == pytest.approx(2 / CLASSES)
    assert found["hessian/trace"] == pytest.approx(2)


@pytest.mark.parametrize("loss", [MulticlassHinge(), UnnormalizedCrossEntropy()])
def test_a_linear_network_under_a_piecewise_linear_loss_is_flat(loss):
    found = WeightCurvature().measure(view(loss, model=Linear(SHAPE, CLASSES))).scalars
    assert len(found) == 5
    assert set(found.values()) == {0.0}


def test_the_same_view_gives_the_same_numbers_whatever_the_random_stream():
    first = WeightCurvature().measure(view(BRIER))
    torch.manual_seed(12345)
    assert WeightCurvature().measure(view(BRIER)) == first


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e308])
def test_what_is_not_finite_is_absent(value):
    seen = view(RAW)
    with torch.no_grad():
        seen.model.output.weight.fill_(value)
    assert WeightCurvature().measure(seen) == ({}, {})


@pytest.mark.parametrize("option", [{"examples": 0}, {"eigenvalues": 1.5}, {"trace_products": 10}])
def test_options_out_of_range(option):
    ((name, value),) = option.items()
    with pytest.raises(ValueError, match=f"{name}={value}; give"):
        WeightCurvature(**option)
