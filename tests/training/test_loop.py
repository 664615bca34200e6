"""The loop beside a plain one: its weights, and what it records of every step and epoch."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from losslab.data import BatchLoader, Part
from losslab.losses import MAP, CrossEntropy, GaussianPrior
from losslab.training import Cosine, fit

EXAMPLES, BATCH_SIZE, EPOCHS = 10, 4, 3
STD, FINAL, RATES = 0.5, 0.1, (0.5, 0.05)  # two groups of parameters have different rates
STEPS = 3 * EPOCHS

SOURCE = torch.Generator().manual_seed(0)
INPUTS = torch.randn(EXAMPLES, 3, generator=SOURCE, dtype=torch.float64)
LABELS = torch.randint(4, (EXAMPLES,), generator=SOURCE)


def make():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = nn.Linear(3, 4).double()
    groups = [{"params": [p], "lr": lr} for p, lr in zip(model.parameters(), RATES, strict=True)]
    return model, torch.optim.SGD(groups, momentum=0.9)


def norm(tensors):
    return math.sqrt(sum(t.square().sum().item() for t in tensors))


def plain():
    """Return the weights, the numbers of each step, and accuracy and NLL of each epoch."""
    model, optimizer = make()
    loader = BatchLoader(Part(INPUTS, LABELS, LABELS), batch_size=BATCH_SIZE)
    steps, epochs = [], []
    for epoch in range(EPOCHS):
        right, nll = 0, 0.0
        for images, labels in loader.epoch(0, epoch):
            factor = FINAL + (1 - FINAL) * (1 + math.cos(math.pi * len(steps) / STEPS)) / 2
            for group, lr in zip(optimizer.param_groups, RATES, strict=True):
                group["lr"] = lr * factor
            logits = model(images)
            likelihood = nn.functional.cross_entropy(logits, labels)
            prior = sum(p.square().sum() for p in model.parameters()) / (2 * STD**2 * EXAMPLES)
            optimizer.zero_grad()
            (likelihood + prior).backward()
            optimizer.step()
            right += (logits.argmax(1) == labels).sum().item()
            nll += likelihood.item() * len(labels)
            steps.append(
                {
                    "train/likelihood": likelihood.item(),
                    "train/prior": prior.item(),
                    "train/objective": (likelihood + prior).item(),
                    "optim/lr": RATES[0] * factor,
                    "optim/grad_norm": norm(p.grad for p in model.parameters()),
                    "optim/weight_norm": norm(p.detach() for p in model.parameters()),
                }
            )
        epochs.append({"train/accuracy": right / EXAMPLES, "train/nll": nll / EXAMPLES})
    return model, steps, epochs


def test_it_is_a_plain_loop():
    reference, steps, epochs = plain()
    model, optimizer = make()
    objective = MAP(CrossEntropy(), GaussianPrior(std=STD), num_train=EXAMPLES)
    history = fit(
        *(model, objective, optimizer),
        train=(INPUTS, LABELS),
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        schedule=Cosine(final=FINAL),
        log_every=1,
    )
    close = partial(torch.testing.assert_close, rtol=1e-12, atol=1e-14)
    for found, expected in zip(model.parameters(), reference.parameters(), strict=True):
        close(found, expected)
    for expected in (steps, epochs):
        recorded = history[[*expected[0]]].dropna().to_dict("records")
        assert len(recorded) == len(expected)
        assert recorded == [pytest.approx(each, rel=1e-6) for each in expected]
    at = history[history["train/objective"].notna()]
    assert at["step"].tolist() == list(range(1, STEPS + 1))
    assert at["examples"].tolist() == [4, 8, 10, 14, 18, 20, 24, 28, 30]


class Drawing(nn.Linear):
    """Draws a number whenever it is trained, as dropout does."""

    def forward(self, inputs):
        if self.training:
            self.drawn.append(torch.rand(()).item())
        return super().forward(inputs)


def test_a_model_draws_other_numbers_in_each_step_epoch_and_seed_and_the_same_in_each_run():
    drawn = []
    for seed in (0, 1, 0):
        model = Drawing(3, 4).double()
        model.drawn = []
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        loss = nn.CrossEntropyLoss(reduction="none")
        fit(model, loss, optimizer, train=(INPUTS, LABELS), epochs=2, batch_size=4, seed=seed)
        drawn.append(model.drawn)
    assert len({*drawn[0], *drawn[1]}) == 2 * 2 * 3
    assert drawn[2] == drawn[0]
