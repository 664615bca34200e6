"""Safe arithmetic: extreme logits, half precision, autocast, empty batches, the GPU."""

import warnings
from contextlib import contextmanager

import pytest
import torch
from torch.testing import assert_close

from cases import LOSSES, LossCase, draw, gradient, one_hot

SOFT = tuple(case for case in LOSSES if case.soft)
every_loss = pytest.mark.parametrize("case", LOSSES, ids=str)
every_soft_loss = pytest.mark.parametrize("case", SOFT, ids=str)


def check_finite(case: LossCase, logits: torch.Tensor, labels: torch.Tensor) -> None:
    num_classes = logits.shape[1]
    targets = [labels]
    if case.soft:
        certain = one_hot(labels, num_classes).float()
        two = (certain + certain.roll(1, 1)) / 2  # zeros beside what is not certain
        targets += [certain, two, torch.full_like(logits, 1 / num_classes)]
    for target in targets:
        assert case.make(reduction="none")(logits, target).isfinite().all()
        assert gradient(case, logits, target).isfinite().all()


@every_loss
def test_extreme_logits_stay_finite(case):
    """Probabilities round to 0 and 1 at 30 and 100, and vanish altogether at 10,000."""
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0])] * 3)
    logits = torch.cat([magnitude * corners for magnitude in (30.0, 100.0, 1e4)])
    labels = torch.arange(3).repeat_interleave(len(logits))
    check_finite(case, logits.repeat(3, 1), labels)


@every_loss
@pytest.mark.parametrize("magnitude", [100.0, 1e4])
def test_extreme_logits_of_a_thousand_classes_stay_finite(case, magnitude):
    logits, labels = draw(num_examples=20, num_classes=1000)
    check_finite(case, magnitude * logits.sign().float(), labels)


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


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_changes_nothing(case, dtype):
    loss = case.make(reduction="none")
    for soft in (False, True)[: 1 + case.soft]:
        logits, target = draw(num_examples=300, soft=soft)
        logits = logits.float()
        with torch.autocast("cpu", dtype=dtype):
            result = loss(logits, target)
        assert result.dtype == torch.float32
        assert torch.equal(result, loss(logits, target))


@every_loss
def test_empty_batch(case):
    """As in torch: no terms, whose sum is 0 and whose mean is not a number."""
    logits, labels = torch.zeros(0, 5, requires_grad=True), torch.zeros(0, dtype=torch.int64)
    for target in (labels, torch.zeros(0, 5))[: 1 + case.soft]:
        assert case.make(reduction="none")(logits, target).shape == (0,)
        assert case.make()(logits, target).isnan()
        total = case.make(reduction="sum")(logits, target)
        assert total == 0
        assert torch.autograd.grad(total, logits)[0].shape == (0, 5)


@every_soft_loss
def test_soft_target_of_another_precision(case):
    logits, target = draw(soft=True)
    single = case.make()(logits, target.float())
    assert_close(single, case.make()(logits, target.float().double()))
    assert case.make()(logits.bfloat16(), target).dtype == torch.float32


@contextmanager
def waiting_refused():
    """Let whatever waits for the GPU raise an error, with deterministic algorithms."""

    def set_mode(mode):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "a prototype"
            torch.cuda.set_sync_debug_mode(mode)

    torch.use_deterministic_algorithms(True)
    set_mode("error")
    try:
        yield
    finally:
        set_mode("default")
        torch.use_deterministic_algorithms(False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@every_loss
def test_on_the_gpu_no_step_waits_and_repeats_to_the_bit(case):
    logits, labels = draw()
    device_logits, device_labels = logits.cuda(), labels.cuda()
    with waiting_refused():
        first = gradient(case, device_logits, device_labels)
        second = gradient(case, device_logits, device_labels)
    assert torch.equal(first, second)
    assert_close(first.cpu(), gradient(case, logits, labels), rtol=1e-9, atol=1e-12)
