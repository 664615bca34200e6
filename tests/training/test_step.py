import math

import pytest
import torch
from torch import nn

from losslab.data import BatchLoader, Part
from losslab.losses import MAP, CrossEntropy, FlatPrior, GaussianPrior, SquaredError
from losslab.training import TrainingStep
from losslab.training.step import evaluate
from losslab.types import Batch

# Two examples, two inputs, two classes, by hand.
PIXELS = [[1.0, 2.0], [0.0, -1.0]]
LABELS = [1, 0]
WEIGHTS = [[0.5, -0.5], [0.25, 0.75]]


def make_step(objective, optimizer, **options):
    model = nn.Linear(2, 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor(WEIGHTS))
    parameters = list(model.parameters())
    return TrainingStep(model, objective, optimizer(parameters), parameters, **options)


def test_a_replayed_step_gives_the_same_bits():
    found = []
    for name in ("update", "replayed"):
        objective = MAP(CrossEntropy(), GaussianPrior(std=0.5), num_train=20)
        step = make_step(objective, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9))
        update = step.update if name == "update" else step.replayed()
        outcomes = [update(batch()) for _ in range(3)]
        found.append(
            [step.model.weight, *(v for logits, terms in outcomes for v in (logits, *terms))]
        )
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def batch() -> Batch:
    return Batch(torch.tensor(PIXELS, dtype=torch.float64), torch.tensor(LABELS))


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in row)
    return [math.exp(value) / total for value in row]


def by_hand(std: float, num_train: int) -> tuple[list[list[float]], float, float]:
    """Return gradient, mean cross-entropy and prior term: (p − y) xᵀ / N + W / (σ² N_train)."""
    gradient, likelihood = [[0.0, 0.0], [0.0, 0.0]], 0.0
    for x, label in zip(PIXELS, LABELS, strict=True):
        p = softmax([sum(w * xi for w, xi in zip(row, x, strict=True)) for row in WEIGHTS])
        likelihood -= math.log(p[label]) / len(PIXELS)
        for k in range(2):
            for i in range(2):
                gradient[k][i] += (p[k] - (k == label)) * x[i] / len(PIXELS)
    squares = sum(w * w for row in WEIGHTS for w in row)
    for k in range(2):
        for i in range(2):
            gradient[k][i] += WEIGHTS[k][i] / (std**2 * num_train)
    return gradient, likelihood, squares / (2 * std**2 * num_train)


def test_one_step_of_gradient_descent_by_hand():
    rate, std, num_train = 0.1, 0.5, 20
    objective = MAP(CrossEntropy(), GaussianPrior(std=std), num_train=num_train)
    step = make_step(objective, lambda parameters: torch.optim.SGD(parameters, lr=rate))
    logits, terms = step.update(batch())
    gradient, likelihood, prior = by_hand(std, num_train)

    assert terms.likelihood.item() == pytest.approx(likelihood, abs=1e-14)
    assert terms.prior.item() == pytest.approx(prior, abs=1e-14)
    assert terms.total.item() == pytest.approx(likelihood + prior, abs=1e-14)
    assert not logits.requires_grad
    assert logits.tolist() == [[-0.5, 1.75], [0.5, -0.75]]
    expected = [[w - rate * g for w, g in zip(*rows, strict=True)]
                for rows in zip(WEIGHTS, gradient, strict=True)]  # fmt: skip
    torch.testing.assert_close(
        step.model.weight.detach(), torch.tensor(expected, dtype=torch.float64),
        rtol=0, atol=1e-14,
    )  # fmt: skip


def test_the_gradients_of_one_step_do_not_leak_into_the_next():
    objective = MAP(SquaredError(activation="none"), FlatPrior(), num_train=2)
    step = make_step(objective, lambda parameters: torch.optim.SGD(parameters, lr=0.0))
    step.update(batch())
    first = step.model.weight.grad.clone()
    step.update(batch())
    assert torch.equal(step.model.weight.grad, first)


def test_bfloat16_is_for_the_forward_pass_alone():
    objective = MAP(CrossEntropy(), FlatPrior(), num_train=2)
    model = nn.Linear(2, 2)
    parameters = list(model.parameters())
    seen = []
    model.register_forward_hook(lambda *call: seen.append(call[-1].dtype))
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    step = TrainingStep(model, objective, optimizer, parameters, autocast=torch.bfloat16)
    logits, terms = step.update(Batch(torch.tensor(PIXELS), torch.tensor(LABELS)))
    assert seen == [torch.bfloat16]
    assert (logits.dtype, terms.total.dtype, model.weight.dtype) == (torch.float32,) * 3
    assert model.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("training", [False, True])
def test_evaluation_uses_running_statistics_and_restores_the_mode(training):
    images, labels = torch.tensor([*PIXELS, [3.0, 5.0]]), torch.tensor([*LABELS, 0])
    model = nn.BatchNorm1d(2).train(training)  # its running mean is 0, its variance 1
    found = evaluate(model, BatchLoader(Part(images, labels, labels), batch_size=2))
    torch.testing.assert_close(found.logits, images / math.sqrt(1 + model.eps))
    assert found.sums.scalars()["accuracy"] == 2 / 3
    assert model.training is training
