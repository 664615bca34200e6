"""The gradient swap against the gradients of the two losses themselves, recomposed one by one."""

import math
from functools import partial
from itertools import product

import pytest
import torch
from torch.testing import assert_close

from cases import draw
from losslab.losses import CrossEntropy, GradientSwap, SquaredError

PLAIN = {"cross_entropy": CrossEntropy, "mse_softmax": partial(SquaredError, "softmax")}
CORNERS = list(product(PLAIN, repeat=3))
every_corner = pytest.mark.parametrize("corner", CORNERS, ids="-".join)


def gradient(loss, logits, target):
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(loss(logits, target), logits)[0]


def recomposed(corner, logits, target):
    """Return the rows of the composed gradient, in plain Python."""
    rows = {
        name: gradient(make(reduction="sum"), logits, target).tolist()
        for name, make in PLAIN.items()
    }
    norms = {name: [math.hypot(*row) for row in each] for name, each in rows.items()}
    mean = {name: sum(each) / len(each) for name, each in norms.items()}
    scale, relative, direction = corner
    sizes = [mean[scale] * norm / mean[relative] for norm in norms[relative]]
    pairs = zip(sizes, rows[direction], norms[direction], strict=True)
    return torch.tensor([[size * g / norm for g in row] for size, row, norm in pairs]).double()


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@every_corner
@pytest.mark.parametrize("soft", [False, True])
def test_its_gradient_is_that_of_the_losses_recomposed(corner, soft):
    logits, target = draw(num_examples=9, soft=soft)
    expected = recomposed(corner, logits, target)
    assert_close(gradient(GradientSwap(*corner, reduction="sum"), logits, target), expected)
    assert_close(gradient(GradientSwap(*corner), logits, target), expected / 9)
    each = GradientSwap(*corner, reduction="none")(logits, target)
    assert_close(each, PLAIN[corner[2]](reduction="none")(logits, target))


@pytest.mark.parametrize("name", PLAIN)
def test_all_from_one_loss_is_that_loss(name):
    logits, labels = draw(num_examples=50, scale=10.0)
    mine, its = GradientSwap(name, name, name), PLAIN[name]()
    own = gradient(its, logits, labels)
    assert_close(gradient(mine, logits, labels), own, rtol=1e-12, atol=1e-16)
    single = logits.float()
    assert_close(gradient(mine, single, labels), gradient(its, single, labels))


@every_corner
def test_the_three_factors_are_those_of_the_losses_named(corner):
    logits, labels = draw(num_examples=40)
    found = gradient(GradientSwap(*corner, reduction="sum"), logits, labels)
    plain = [gradient(PLAIN[name](reduction="sum"), logits, labels) for name in corner]
    norms, (scale, relative, direction) = found.norm(dim=1), plain
    assert_close(norms.mean(), scale.norm(dim=1).mean())
    assert_close(norms / norms.mean(), relative.norm(dim=1) / relative.norm(dim=1).mean())
    assert_close(torch.cosine_similarity(found, direction), torch.ones(40))


@every_corner
def test_gradients_of_zero_and_certain_examples_are_safe(corner):
    loss, swapped = GradientSwap(*corner, reduction="sum"), torch.tensor([0, 1])
    certain = torch.tensor([[1e4, 0.0, 0.0], [0.0, 1e4, 0.0]])
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert gradient(loss, certain.to(dtype), swapped).eq(0).all()  # right: nothing to learn
        # Wrong: squared error's is 0, and there is none of it to take a size or direction from.
        found = gradient(loss, certain.to(dtype), 1 - swapped)
        assert found.isfinite().all()
        assert found.dtype == dtype
        assert found.ne(0).any() == ("mse_softmax" not in corner)
    mixed = torch.cat([certain, torch.zeros(1, 3)])  # one of three has a gradient
    assert gradient(loss, mixed, torch.tensor([0, 1, 2])).isfinite().all()
    assert loss(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)) == 0


def test_directions_survive_where_single_precision_loses_them():
    logits, labels = torch.tensor([[0.0, 18.0, 1.0], [0.0, 0.0, 0.0]]), torch.tensor([0, 2])
    loss = GradientSwap("cross_entropy", "cross_entropy", "mse_softmax", reduction="sum")
    expected = recomposed((loss.scale, loss.relative, loss.direction), logits, labels)
    assert_close(gradient(loss, logits.float(), labels), expected.float())


@pytest.mark.parametrize("name", ["scale", "relative", "direction"])
def test_another_loss_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} is 'mse'; allowed are cross_entropy, mse_soft"):
        GradientSwap(**{name: "mse"})


def test_labels_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"labels lie in 0…3; allowed are 0…2"):
        GradientSwap()(torch.zeros(2, 3), torch.tensor([0, 3]))
