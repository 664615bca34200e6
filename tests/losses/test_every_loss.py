"""What every docstring promises, held for every loss in the table of cases."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from cases import LOSSES, LossCase, draw, one_hot

SOFT = tuple(case for case in LOSSES if case.soft)
PIECEWISE_LINEAR = ("multiclass_hinge", "unnormalized exp")  # no second derivative to check
every_loss = pytest.mark.parametrize("case", LOSSES, ids=str)
every_soft_loss = pytest.mark.parametrize("case", SOFT, ids=str)


def naive_values(case: LossCase, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    pairs = zip(logits.tolist(), target.tolist(), strict=True)
    return torch.tensor([case.naive(z, y) for z, y in pairs], dtype=torch.float64)


def gradient(case: LossCase, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    logits = logits.clone().requires_grad_()
    (result,) = torch.autograd.grad(case.make(reduction="sum")(logits, target), logits)
    return result


def smallest_curvature(case: LossCase, logits: torch.Tensor, labels: torch.Tensor) -> float:
    loss = case.make(reduction="sum")
    hessians = [
        torch.autograd.functional.hessian(lambda row, y=y: loss(row[None], y[None]), z)
        for z, y in zip(logits, labels, strict=True)
    ]
    return torch.linalg.eigvalsh(torch.stack(hessians)).min().item()


@every_loss
@pytest.mark.parametrize("num_classes", [2, 5])
def test_value_is_the_definition(case, num_classes):
    logits, labels = draw(num_classes=num_classes)
    expected = naive_values(case, logits, one_hot(labels, num_classes))
    assert_close(case.make(reduction="none")(logits, labels), expected, rtol=1e-12, atol=1e-14)


@every_soft_loss
def test_value_for_soft_targets_is_the_definition(case):
    logits, target = draw(soft=True)
    expected = naive_values(case, logits, target)
    assert_close(case.make(reduction="none")(logits, target), expected, rtol=1e-12, atol=1e-14)


@every_soft_loss
def test_one_hot_target_equals_class_indices(case):
    logits, labels = draw()
    target = one_hot(labels, 5)
    loss = case.make(reduction="none")
    assert_close(loss(logits, target), loss(logits, labels), rtol=1e-12, atol=1e-14)
    assert_close(
        gradient(case, logits, target), gradient(case, logits, labels), rtol=1e-12, atol=1e-14
    )


@every_loss
def test_gradient_is_the_docstrings(case):
    logits, labels = draw()
    expected = case.gradient(logits, one_hot(labels, 5))
    assert_close(gradient(case, logits, labels), expected, rtol=1e-11, atol=1e-13)


@every_soft_loss
def test_gradient_for_soft_targets_is_the_docstrings(case):
    logits, target = draw(soft=True)
    expected = case.gradient(logits, target)
    assert_close(gradient(case, logits, target), expected, rtol=1e-11, atol=1e-13)


@every_loss
def test_first_and_second_derivatives_are_differences(case):
    logits, labels = draw(num_examples=1, num_classes=3, scale=1.5)
    logits.requires_grad_()
    loss = case.make()
    assert torch.autograd.gradcheck(lambda z: loss(z, labels), logits)
    if case.name not in PIECEWISE_LINEAR:
        assert torch.autograd.gradgradcheck(lambda z: loss(z, labels), logits)


@every_loss
def test_reductions(case):
    logits, labels = draw()
    each = case.make(reduction="none")(logits, labels)
    assert each.shape == (7,)
    assert_close(case.make(reduction="sum")(logits, labels), each.sum())
    assert_close(case.make(reduction="mean")(logits, labels), each.mean())
    assert_close(case.make()(logits, labels), each.mean())
    assert torch.equal(case.make(reduction="sum").per_example(logits, labels), each)


@every_loss
def test_shift_of_all_logits(case):
    logits, labels = draw()
    loss = case.make(reduction="none")
    same = torch.allclose(loss(logits + 2.5, labels), loss(logits, labels), rtol=1e-9, atol=1e-12)
    assert same == case.shift_invariant


@every_loss
def test_renaming_the_classes_changes_nothing(case):
    logits, labels = draw()
    order = torch.tensor([3, 0, 4, 1, 2])  # class order[i] becomes class i
    renamed = order.argsort()[labels]
    loss = case.make(reduction="none")
    assert_close(loss(logits[:, order], renamed), loss(logits, labels), rtol=1e-12, atol=1e-14)
    assert_close(
        gradient(case, logits[:, order], renamed),
        gradient(case, logits, labels)[:, order],
        rtol=1e-11,
        atol=1e-13,
    )


@pytest.mark.parametrize("case", [case for case in LOSSES if case.perfect], ids=str)
def test_zero_at_the_perfect_prediction(case):
    labels = torch.arange(5)
    on, off = case.perfect
    logits = off + (on - off) * one_hot(labels, 5)
    assert_close(
        case.make(reduction="none")(logits, labels),
        torch.zeros(5, dtype=torch.float64),
        rtol=0,
        atol=1e-20,
    )


@every_loss
def test_range(case):
    logits, labels = draw(num_examples=500, scale=20.0)
    values = case.make(reduction="none")(logits, labels)
    assert values.min() >= case.lower
    if case.upper:
        assert 0.99 * case.upper(5) < values.max() <= case.upper(5) * (1 + 1e-12)
    else:
        assert values.max() > 10.0
    if math.isinf(case.lower):
        assert values.min() < -10.0


@every_loss
def test_convex_in_the_logits_or_not(case):
    logits, labels = draw(num_examples=40, num_classes=3)
    smallest = smallest_curvature(case, logits, labels)
    assert smallest > -1e-12 if case.convex else smallest < -1e-3


@every_loss
def test_extreme_logits_stay_finite(case):
    """Probabilities round to 0 and 1 at 30 and 100, and vanish altogether at 10,000."""
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0])] * 3)
    logits = torch.cat([magnitude * corners for magnitude in (30.0, 100.0, 1e4)])
    labels = torch.arange(3).repeat_interleave(len(logits))
    logits = logits.repeat(3, 1)
    targets = [labels]
    if case.soft:
        targets += [one_hot(labels, 3).float(), torch.full_like(logits, 1 / 3)]
    for target in targets:
        assert case.make(reduction="none")(logits, target).isfinite().all()
        assert gradient(case, logits, target).isfinite().all()


@every_loss
def test_single_precision_is_close_to_double(case):
    logits, labels = draw(num_examples=200, scale=10.0)
    single = case.make(reduction="none")(logits.float(), labels).double()
    double = case.make(reduction="none")(logits.float().double(), labels)
    assert_close(single, double, rtol=1e-5, atol=1e-6)


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_accumulates_in_single(case, dtype):
    logits, labels = draw(num_examples=300)
    half = logits.to(dtype).requires_grad_()
    result = case.make()(half, labels)
    assert result.dtype == torch.float32
    assert torch.equal(result, case.make()(half.detach().float(), labels))
    (slope,) = torch.autograd.grad(result, half)
    assert slope.dtype == dtype
    assert slope.isfinite().all()


@every_soft_loss
def test_soft_target_of_another_precision(case):
    logits, target = draw(soft=True)
    single = case.make()(logits, target.float())
    assert_close(single, case.make()(logits, target.float().double()))
    assert case.make()(logits.bfloat16(), target).dtype == torch.float32


@every_loss
@settings(max_examples=15, deadline=None, derandomize=True)
@given(data=st.data())
def test_generated_logits(case, data):
    number = st.floats(-30, 30, allow_subnormal=False)
    row = data.draw(st.lists(number, min_size=2, max_size=6), "logits")
    label = data.draw(st.integers(0, len(row) - 1), "label")
    target = [float(i == label) for i in range(len(row))]
    logits = torch.tensor([row], dtype=torch.float64)
    value = case.make()(logits, torch.tensor([label])).item()
    # 1 − p in the definition as written loses digits where p is near 1, hence the absolute part.
    assert value == pytest.approx(case.naive(row, target), rel=1e-9, abs=1e-7)
    assert value >= case.lower


@every_loss
def test_logits_and_target_are_left_as_they_are(case):
    logits, labels = draw()
    copies = logits.clone(), labels.clone()
    case.make()(logits, labels)
    assert torch.equal(logits, copies[0])
    assert torch.equal(labels, copies[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@every_loss
def test_on_the_gpu_no_step_waits_and_repeats_to_the_bit(case):
    logits, labels = draw()
    torch.use_deterministic_algorithms(True)
    device_logits, device_labels = logits.cuda(), labels.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        first = gradient(case, device_logits, device_labels)
        second = gradient(case, device_logits, device_labels)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.use_deterministic_algorithms(False)
    assert torch.equal(first, second)
    assert_close(first.cpu(), gradient(case, logits, labels), rtol=1e-9, atol=1e-12)
