"""What every docstring promises, held for every loss in the table of cases."""

import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from cases import LOSSES, LossCase, draw, gradient, one_hot

SOFT = tuple(case for case in LOSSES if case.soft)
PIECEWISE_LINEAR = ("multiclass_hinge", "unnormalized exp")  # no second derivative to check
every_loss = pytest.mark.parametrize("case", LOSSES, ids=str)
every_soft_loss = pytest.mark.parametrize("case", SOFT, ids=str)


def naive_values(case: LossCase, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    pairs = zip(logits.tolist(), target.tolist(), strict=True)
    return torch.tensor([case.naive(z, y) for z, y in pairs], dtype=torch.float64)


def smallest_curvature(case: LossCase, logits: torch.Tensor, target: torch.Tensor) -> float:
    loss = case.make(reduction="sum")
    hessians = [
        torch.autograd.functional.hessian(lambda row, y=y: loss(row[None], y[None]), z)
        for z, y in zip(logits, target, strict=True)
    ]
    return torch.linalg.eigvalsh(torch.stack(hessians)).min().item()


@every_loss
@pytest.mark.parametrize("num_classes", [2, 5, 1000])
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
@pytest.mark.parametrize("num_classes", [2, 5, 1000])
def test_gradient_is_the_docstrings(case, num_classes):
    logits, labels = draw(num_classes=num_classes)
    expected = case.gradient(logits, one_hot(labels, num_classes))
    assert_close(gradient(case, logits, labels), expected, rtol=1e-11, atol=1e-13)


@every_soft_loss
@pytest.mark.parametrize("num_classes", [2, 5, 1000])
def test_gradient_for_soft_targets_is_the_docstrings(case, num_classes):
    logits, target = draw(num_classes=num_classes, soft=True)
    expected = case.gradient(logits, target)
    assert_close(gradient(case, logits, target), expected, rtol=1e-11, atol=1e-13)


@every_loss
def test_first_and_second_derivatives_are_differences(case):
    loss = case.make()
    for soft in (False, True)[: 1 + case.soft]:
        logits, target = draw(num_examples=1, num_classes=3, scale=1.5, soft=soft)
        logits.requires_grad_()
        assert torch.autograd.gradcheck(lambda z, y=target: loss(z, y), logits)
        if case.name not in PIECEWISE_LINEAR:
            assert torch.autograd.gradgradcheck(lambda z, y=target: loss(z, y), logits)


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
    if case.soft and case.convex:
        assert smallest_curvature(case, *draw(num_examples=40, num_classes=3, soft=True)) > -1e-12


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


@every_soft_loss
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    pairs=st.lists(
        st.tuples(st.floats(-30, 30, allow_subnormal=False), st.integers(0, 3)),
        min_size=2,
        max_size=6,
    ).filter(lambda pairs: any(weight for _, weight in pairs))
)
def test_generated_soft_targets(case, pairs):
    total = sum(weight for _, weight in pairs)
    row, target = [logit for logit, _ in pairs], [weight / total for _, weight in pairs]
    logits = torch.tensor([row], dtype=torch.float64)
    value = case.make()(logits, torch.tensor([target], dtype=torch.float64)).item()
    assert value == pytest.approx(case.naive(row, target), rel=1e-9, abs=1e-7)


@every_loss
def test_logits_and_target_are_left_as_they_are(case):
    logits, labels = draw()
    copies = logits.clone(), labels.clone()
    case.make()(logits, labels)
    assert torch.equal(logits, copies[0])
    assert torch.equal(labels, copies[1])


@every_loss
def test_a_pickled_copy_and_vmap_give_the_same(case):
    loss, (logits, labels) = case.make(reduction="none"), draw(num_examples=6)
    expected = loss(logits, labels)
    assert torch.equal(pickle.loads(pickle.dumps(loss))(logits, labels), expected)
    batches = torch.func.vmap(loss)(logits.reshape(2, 3, 5), labels.reshape(2, 3))
    assert_close(batches.flatten(), expected)


@pytest.mark.slow
@every_loss
def test_it_compiles_without_a_break(case):
    loss, (logits, labels) = case.make(), draw()
    torch.compiler.reset()  # or the compiled losses before this one count as recompilations
    compiled = torch.compile(loss, backend="eager", fullgraph=True)
    assert_close(compiled(logits, labels), loss(logits, labels))
