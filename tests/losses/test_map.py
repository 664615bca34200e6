"""Priors and the objective: the penalty counts once per data set, with the right sign."""

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn
from torch.testing import assert_close

from cases import LOSSES, draw
from losslab.losses import (
    MAP,
    CrossEntropy,
    FlatPrior,
    Focal,
    GaussianPrior,
    LaplacePrior,
    Loss,
    functional,
)

LOGITS, LABELS = draw()
NUM_TRAIN = 40


def weights(scale: float = 1.0) -> list[torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    shapes = [(3, 2), (3,), ()]
    kwargs = {"generator": source, "dtype": torch.float64}
    return [(scale * torch.randn(shape, **kwargs)).requires_grad_() for shape in shapes]


@pytest.mark.parametrize(
    ("prior", "distribution"),
    [
        (GaussianPrior(0.3), scipy.stats.norm(scale=0.3)),
        (LaplacePrior(0.3), scipy.stats.laplace(scale=0.3)),
    ],
    ids=["gaussian", "laplace"],
)
def test_prior_is_the_negative_log_density_up_to_a_constant(prior, distribution):
    def log_density(parameters):
        return sum(distribution.logpdf(p.detach().numpy()).sum() for p in parameters)

    one, other = weights(), weights(2.5)
    expected = log_density(one) - log_density(other)
    assert (prior(other) - prior(one)).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("prior", "slope"),
    [(GaussianPrior(0.3), lambda w: w / 0.09), (LaplacePrior(0.3), lambda w: w.sign() / 0.3)],
    ids=["gaussian", "laplace"],
)
def test_gradient_of_the_prior(prior, slope):
    parameters = weights()
    prior(parameters).backward()
    for parameter in parameters:
        assert_close(parameter.grad, slope(parameter.detach()))


@pytest.mark.parametrize("prior", [GaussianPrior(0.5), LaplacePrior(0.5)], ids=str)
def test_a_prior_on_many_weights_loses_no_digits(prior):
    """Nor overflows: float16 ends at 65,504, and bfloat16 cannot tell 180,000 from 180,224."""
    for dtype in (torch.float16, torch.bfloat16):
        assert torch.equal(prior([torch.ones(90_000, dtype=dtype)]), torch.tensor(180_000.0))
    many = [torch.full((2_000, 2_000), 0.1), torch.full((7,), 0.1)]
    assert_close(prior(many).double(), prior([w.double() for w in many]), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("prior", "slope"), [(GaussianPrior(0.5), 4.0), (LaplacePrior(0.5), 2.0)], ids=str
)
def test_frozen_weights_add_a_constant(prior, slope):
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).double()
    network[0].requires_grad_(False)
    terms = MAP(CrossEntropy(), prior, NUM_TRAIN).terms(LOGITS, LABELS, network.parameters())
    terms.total.backward()
    assert_close(terms.prior, sum(prior([w]) for w in network.parameters()) / NUM_TRAIN)
    assert network[0].weight.grad is None
    scales = network[1].weight  # of batch normalisation, 1 at first
    assert_close(scales.grad, torch.full_like(scales, slope / NUM_TRAIN))


def test_prior_of_no_parameters_is_an_error():
    with pytest.raises(ValueError, match="no parameters were given"):
        GaussianPrior(1.0)(iter(()))


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_terms_of_every_loss(case):
    prior = GaussianPrior(0.5)
    terms = MAP(case.make(), prior, NUM_TRAIN).terms(LOGITS, LABELS, weights())
    assert torch.equal(terms.per_example, case.make(reduction="none")(LOGITS, LABELS))
    assert_close(terms.likelihood, case.make()(LOGITS, LABELS))
    assert_close(terms.prior, prior(weights()) / NUM_TRAIN)
    assert_close(terms.total, terms.likelihood + terms.prior)


@pytest.mark.parametrize("prior", [FlatPrior(), GaussianPrior(0.5), LaplacePrior(0.5)], ids=str)
@pytest.mark.parametrize("inner", ["mean", "sum", "none"])
def test_reduction_acts_on_loss_plus_penalty(prior, inner):
    likelihood = CrossEntropy(reduction=inner)
    penalty = prior(weights()) / NUM_TRAIN
    each = CrossEntropy(reduction="none")(LOGITS, LABELS) + penalty
    for reduction, expected in {"none": each, "sum": each.sum(), "mean": each.mean()}.items():
        objective = MAP(likelihood, prior, NUM_TRAIN, reduction=reduction)
        assert_close(objective(LOGITS, LABELS, weights()), expected)
    total = MAP(likelihood, prior, NUM_TRAIN).terms(LOGITS, LABELS, weights()).total
    assert_close(total, each.mean())


def test_flat_prior_is_maximum_likelihood():
    terms = MAP(Focal(), FlatPrior(), NUM_TRAIN).terms(LOGITS, LABELS, ())
    assert terms.total is terms.likelihood
    assert terms.prior == 0


def test_torchs_own_losses_serve_as_likelihood():
    theirs = MAP(nn.CrossEntropyLoss(reduction="none"), GaussianPrior(1.0), NUM_TRAIN)
    mine = MAP(CrossEntropy(), GaussianPrior(1.0), NUM_TRAIN)
    arguments = LOGITS, LABELS, weights()
    assert_close(theirs.terms(*arguments), mine.terms(*arguments))
    with pytest.raises(ValueError, match=r"MSELoss returned shape \(7, 5\).*one value per example"):
        MAP(nn.MSELoss(reduction="none"), FlatPrior(), 1)(LOGITS, LOGITS, ())


@pytest.mark.parametrize(
    ("give", "found"),
    [
        (lambda z, y: functional.cross_entropy(z, y).mean(), r"shape \(\)"),
        (lambda z, y: z.square() * y[:, None], r"shape \(7, 5\)"),
        (lambda *_: 1.0, "a float"),
    ],
)
def test_a_custom_loss_must_give_one_value_per_example(give, found):
    class Custom(Loss):
        def per_example(self, logits, target):
            return give(logits, target)

    for likelihood, name in ((Custom(), "Custom"), (give, "function")):
        with pytest.raises(ValueError, match=f"likelihood {name} returned {found}; allowed is .7"):
            MAP(likelihood, FlatPrior(), 1).terms(LOGITS, LABELS, ())


def train(make_optimizer, prior=None, *, steps: int = 15) -> torch.Tensor:
    """Train a tiny network on batches of 8 of 40 examples; return all its weights, float64."""
    source = torch.Generator().manual_seed(1)
    images = torch.randn(NUM_TRAIN, 4, generator=source, dtype=torch.float64)
    labels = torch.randint(3, (NUM_TRAIN,), generator=source)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5, generator=source)
    optimizer = make_optimizer(model.parameters())
    objective = MAP(CrossEntropy(), prior or FlatPrior(), NUM_TRAIN)
    for _ in range(steps):
        batch = torch.randint(NUM_TRAIN, (8,), generator=source)
        optimizer.zero_grad()
        objective.terms(model(images[batch]), labels[batch], model.parameters()).total.backward()
        optimizer.step()
    return nn.utils.parameters_to_vector(model.parameters()).detach()


STD = 0.5
DECAY = 1 / (STD**2 * NUM_TRAIN)


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        (torch.optim.SGD, {"lr": 0.1}),
        (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}),
        (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
        (torch.optim.Adam, {"lr": 0.01}),
    ],
    ids=["sgd", "momentum", "nesterov", "adam"],
)
def test_gaussian_prior_is_weight_decay_of_one_over_variance_and_number(optimizer, settings):
    by_prior = train(lambda w: optimizer(w, **settings), GaussianPrior(STD))
    by_decay = train(lambda w: optimizer(w, weight_decay=DECAY, **settings))
    assert_close(by_prior, by_decay, rtol=1e-11, atol=1e-12)
    without = train(lambda w: optimizer(w, **settings))
    assert (by_prior - without).abs().max() > 0.01


def test_adamw_is_not_map_under_a_gaussian_prior():
    by_prior = train(lambda w: torch.optim.AdamW(w, lr=0.01, weight_decay=0), GaussianPrior(STD))
    by_decay = train(lambda w: torch.optim.AdamW(w, lr=0.01, weight_decay=DECAY))
    assert (by_prior - by_decay).abs().max() > 0.01


def test_a_prior_on_weights_shrinks_them():
    def norm(prior):
        return train(lambda w: torch.optim.SGD(w, lr=0.1), prior).norm()

    assert norm(GaussianPrior(0.2)) < norm(GaussianPrior(0.5)) < norm(None)
    assert norm(LaplacePrior(0.2)) < norm(LaplacePrior(1.0)) < norm(None)


@pytest.mark.parametrize("integer", [np.int64, np.int32, np.uint8])
def test_the_number_of_examples_may_be_an_integer_of_numpy(integer):
    objective = MAP(Focal(), FlatPrior(), integer(5))
    assert (objective.num_train, type(objective.num_train)) == (5, int)
    with pytest.raises(ValueError, match=r"num_train is .*0"):
        MAP(Focal(), FlatPrior(), integer(0))
