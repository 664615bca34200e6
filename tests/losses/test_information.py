"""Information measures against SciPy and their own identities."""

import math

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses import cross_entropy, entropy, kl_divergence


def distributions(*shape):
    source = torch.Generator().manual_seed(len(shape))
    return (2 * torch.randn(*shape, generator=source, dtype=torch.float64)).softmax(-1)


P, Q = distributions(6, 4), distributions(6, 4).flip(0)


@pytest.mark.parametrize(("unit", "base"), [("nats", math.e), ("bits", 2)])
def test_scipy_gives_the_same(unit, base):
    expected = scipy.stats.entropy(P.numpy(), base=base, axis=1)
    assert_close(entropy(P, unit=unit), torch.from_numpy(expected))
    expected = scipy.stats.entropy(P.numpy(), Q.numpy(), base=base, axis=1)
    assert_close(kl_divergence(P, Q, unit=unit), torch.from_numpy(expected))
    naive = [
        -sum(p * math.log(q, base) for p, q in zip(*rows, strict=True))
        for rows in zip(P.tolist(), Q.tolist(), strict=True)
    ]
    assert_close(cross_entropy(P, Q, unit=unit), torch.tensor(naive, dtype=torch.float64))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8).filter(
        lambda pairs: all(sum(side) > 0.01 for side in zip(*pairs, strict=True))
    )
)
def test_cross_entropy_is_entropy_plus_divergence(pairs):
    p, q = torch.tensor(pairs, dtype=torch.float64).T
    p, q = p / p.sum(), q / q.sum()
    assert_close(cross_entropy(p, q), entropy(p) + kl_divergence(p, q))
    assert kl_divergence(p, q) >= 0
    assert -1e-12 <= entropy(p) <= math.log(len(p)) + 1e-12


def test_nothing_to_learn_from_what_cannot_happen():
    certain = torch.tensor([0.0, 1.0, 0.0])
    assert entropy(certain) == 0
    assert str(cross_entropy(certain, certain)) == "tensor(0.)"  # not -0.
    assert kl_divergence(certain, certain) == 0
    assert kl_divergence(certain, torch.tensor([0.5, 0.5, 0.0])) == pytest.approx(math.log(2))


def test_infinite_where_the_prediction_excludes_what_happens():
    p, q = torch.tensor([[0.5, 0.5], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert cross_entropy(p, q).tolist() == [math.inf, 0.0]
    assert kl_divergence(p, q).tolist() == [math.inf, 0.0]


@pytest.mark.parametrize("num_outcomes", [2, 10, 100])
def test_entropy_is_greatest_when_all_are_equally_likely(num_outcomes):
    uniform = torch.full((num_outcomes,), 1 / num_outcomes, dtype=torch.float64)
    assert entropy(uniform).item() == pytest.approx(math.log(num_outcomes))
    assert entropy(uniform, unit="bits").item() == pytest.approx(math.log2(num_outcomes))
    assert (entropy(distributions(50, num_outcomes)) < entropy(uniform)).all()


def test_leading_axes_broadcast():
    assert entropy(distributions(2, 3, 4)).shape == (2, 3)
    assert_close(kl_divergence(P[0], Q), kl_divergence(P[:1].expand(6, 4), Q))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_lower_precision_is_accepted_and_summed_in_single(dtype):
    many = distributions(3, 1000).to(dtype)
    value = entropy(many)
    assert value.dtype == torch.float32
    assert_close(
        value,
        entropy(many.double() / many.double().sum(1, keepdim=True)).float(),
        rtol=0.02,
        atol=0,
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.tensor([-0.5, 1.5]), r"p holds -0\.5; .*at least 0"),
        (torch.tensor([0.5, 0.6]), r"p sums to 1\.1 .*divide by the sum"),
        (torch.tensor([[0.5, 0.5], [0.0, 0.0]]), "p sums to 0 "),
        (torch.tensor([math.nan, 1.0]), "p holds nan"),
        (torch.tensor([math.inf, 1.0]), "p sums to inf"),
        (torch.tensor([1, 0]), "p is torch.int64"),
        (torch.tensor(1.0), r"shape \(\)"),
    ],
)
def test_what_is_no_distribution_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        entropy(values)


def test_other_arguments():
    with pytest.raises(ValueError, match="unit is 'bans'; allowed are nats, bits"):
        entropy(P, unit="bans")
    with pytest.raises(ValueError, match="p has 4 outcomes and q has 3"):
        cross_entropy(P, distributions(6, 3))
    with pytest.raises(ValueError, match="q sums to"):
        kl_divergence(P, 2 * Q)
