"""Tiny trainings in float64, where two ways that are the same in mathematics stay together."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from losslab.losses import MAP
from losslab.models import MLP
from losslab.report.statistics import FloatArray
from losslab.seeding import generator

EXAMPLES, CLASSES, BATCH = 40, 3, 8

MakeOptimizer = Callable[[Iterable[Tensor]], torch.optim.Optimizer]


def relative_difference(one: FloatArray, other: FloatArray) -> float:
    """Return ‖a − b‖/‖b‖ of two ``(P,)``; no entry differs by more than that times ‖b‖.

    >>> relative_difference(np.array([3.0, 4.0]), np.array([3.0, 4.5])) < 0.1
    True
    """
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def path(make_optimizer: MakeOptimizer, objective: MAP, *, seed: int, steps: int) -> FloatArray:
    """Train a small network on 40 random points of three classes; return its weights at each step.

    Args:
        make_optimizer: From parameters to an optimizer.
        objective: What training lowers; its N should be :data:`EXAMPLES`.
        seed: Of points, initial weights and batches of 8.
        steps: Updates.

    Returns:
        ``(steps, P)``.
    """
    # Ten times as fast as two threads, which spend their time on waiting for each other.
    torch.set_num_threads(1)
    source = generator(seed, "weight_prior")
    images = torch.randn(EXAMPLES, 1, 3, 3, generator=source, dtype=torch.float64)
    labels = torch.randint(CLASSES, (EXAMPLES,), generator=source)
    model = MLP((1, 3, 3), CLASSES, width=12, depth=1).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4, generator=source)
    parameters = list(model.parameters())
    optimizer = make_optimizer(parameters)
    weights = []
    for _ in range(steps):
        batch = torch.randint(EXAMPLES, (BATCH,), generator=source)
        terms = objective.terms(model(images[batch]), labels[batch], parameters)
        optimizer.zero_grad()
        torch.autograd.backward(terms.total)
        optimizer.step()
        weights.append(nn.utils.parameters_to_vector(parameters).detach().clone())
    array: FloatArray = torch.stack(weights).numpy()
    return array
