"""Training at one learning rate, its curvature at the start, and the bisection for the edge."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor, nn

from losslab import diagnostics
from losslab.data import load
from losslab.diagnostics import View
from losslab.diagnostics.weight_curvature import CurvatureProducts, extreme_eigenvalues
from losslab.losses import (
    MAP,
    CrossEntropy,
    FlatPrior,
    Loss,
    MulticlassHinge,
    SquaredError,
    Squentropy,
)
from losslab.models import Linear, SmallCNN
from losslab.seeding import derive, generator
from losslab.types import Batch

LOSSES: dict[str, Loss] = {
    "cross_entropy": CrossEntropy(),
    "mse": SquaredError("none"),
    "rescaled_mse": SquaredError("none", true_class_target=15.0),
    "mse_softmax": SquaredError("softmax"),
    "squentropy": Squentropy(),
    "multiclass_hinge": MulticlassHinge(),
}
PAIRS, BATCH, PROBE, ALL = 4000, 64, 128, 512
"""Training images; in a batch; for curvature and signal; in a step of gradient descent."""
WINDOW = 20
"""Steps over which the objective and the accuracy are averaged."""
LATER = 100
"""Steps after which the curvature is measured while training."""
FRACTIONS = (0.4, 0.2, 0.1)
"""Of the edge, at which the steps to a threshold are counted."""
FEW = 10
"""Up to how many classes steps to a threshold are counted."""
WIDEST = 2.0**16
"""How far from its start the search goes."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What the edge is measured for."""

    loss: str  # of :data:`LOSSES`
    num_classes: int  # K
    momentum: float  # β
    normalization: str = "none"  # or ``batch``
    linear: bool = False  # a linear model in place of the network
    full: bool = False  # gradient descent on :data:`ALL` images in place of batches

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss={self.loss}; the losses here are {', '.join(LOSSES)}")
        if self.num_classes not in (*range(2, 11), 100):
            raise ValueError(f"num_classes={self.num_classes}; give 2 to 10, or 100")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum={self.momentum}; give a number ≥ 0, below 1")
        if self.normalization not in ("none", "batch"):
            raise ValueError(f"normalization={self.normalization}; give none or batch")

    @property
    def probe(self) -> int:
        """How many images curvature and signal are measured on."""
        return ALL if self.full else PROBE


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was measured of a cell, one number a seed where there are several.

    Attributes:
        cell: It.
        sharpness: λ, the largest eigenvalue of the Hessian at the start.
        signal: By how much the mean margin grows at the start, per unit of learning rate.
        edge: The largest stable rate, NaN where none was found.
        along: λ of the first seed after :data:`LATER` steps at a tenth of the edge.
        at_edge: λ of the first seed after training at its edge.
        steps: By fraction of the edge, each seed's steps to the threshold, infinite if too many.
    """

    cell: Cell
    sharpness: Sequence[float]
    signal: Sequence[float]
    edge: Sequence[float]
    along: float = math.nan
    at_edge: float = math.nan
    steps: Sequence[Sequence[float]] = ()


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A training: objective and accuracy of each step's batch before the step, and its end."""

    objective: Sequence[float]
    accuracy: Sequence[float]
    model: nn.Module


@cache
def _pairs() -> tuple[Tensor, Tensor]:
    """Return pairs of digits at half resolution ``(N, 1, 14, 28)`` and labels from 0 to 99."""
    images, labels = load("mnist5k", digits=2, train_size=PAIRS).tensors("train")
    return nn.functional.avg_pool2d(images, 2), labels


def examples(num_classes: int) -> tuple[Tensor, Tensor]:
    """Return images, the same for every K, and labels: the pair, or the left digit modulo K."""
    images, labels = _pairs()
    return images, labels if num_classes == 100 else labels // 10 % num_classes


def untrained(cell: Cell, seed: int) -> nn.Module:
    """Return the model with the initial weights of a seed, the same for every loss."""
    shape, k = (1, 14, 28), cell.num_classes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "weights"))
        if cell.linear:
            return Linear(shape, k)
        model = SmallCNN(shape, k, width=8, normalization=cell.normalization)
    # In this layout pooling takes a third of the time.
    return model.to(memory_format=torch.channels_last)


def train(cell: Cell, seed: int, rate: float, *, steps: int, until: float = math.inf) -> Trained:
    """Train by SGD at a constant rate; end early where it is hopeless.

    That is where the objective is not finite, or the outputs are the same for all images.

    Args:
        cell: Loss, data, model and momentum.
        seed: Of initial weights and batches.
        rate: The learning rate.
        steps: Updates.
        until: Also end where the mean accuracy of the last :data:`WINDOW` batches reaches it.
    """
    images, labels = examples(cell.num_classes)
    loss, model = LOSSES[cell.loss], untrained(cell, seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=cell.momentum)
    draw, batch = generator(seed, "edge", "batches"), torch.arange(ALL)
    objective: list[float] = []
    accuracy: list[float] = []
    for _ in range(steps):
        if not cell.full:
            batch = torch.randint(len(labels), (BATCH,), generator=draw)
        logits = model(images[batch])
        value = loss(logits, labels[batch])
        objective.append(value.item())
        accuracy.append((logits.argmax(1) == labels[batch]).double().mean().item())
        # Where all units have died, their gradients are 0 for ever.
        dead = len(objective) % WINDOW == 0 and not apart(logits.detach())
        if not math.isfinite(objective[-1]) or reached(accuracy, until) or dead:
            break
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return Trained(objective=objective, accuracy=accuracy, model=model)


def reached(accuracy: Sequence[float], until: float) -> bool:
    """Return whether the mean of the last :data:`WINDOW` accuracies is at least ``until``."""
    return len(accuracy) >= WINDOW and math.fsum(accuracy[-WINDOW:]) >= WINDOW * until


def is_stable(cell: Cell, seed: int, rate: float, *, steps: int) -> bool:
    """Return whether training at a rate is stable.

    The objective is finite in every step, its mean over the last :data:`WINDOW` is below that of
    the untrained network, and the outputs still differ between images: a network whose units have
    all died trains its biases at rates far beyond.
    """
    images, labels = (part[: cell.probe] for part in examples(cell.num_classes))
    trained = train(cell, seed, rate, steps=steps)
    with torch.no_grad():
        start = LOSSES[cell.loss](untrained(cell, seed)(images), labels).item()
        logits = trained.model(images)
    return bool(np.mean(trained.objective[-WINDOW:]) < start) and apart(logits)


def apart(logits: Tensor) -> bool:
    """Return whether outputs ``(N, K)`` differ between images by more than rounding."""
    return bool((logits - logits[0]).abs().max() > 1e-6 * logits.abs().max())


def find_edge(
    stable: Callable[[float], bool], start: float, *, factor: float = 2.0, ratio: float = 1.1
) -> float:
    """Return the largest stable rate to within ``ratio``, NaN if there is none near ``start``.

    Goes from ``start`` by ``factor`` until a stable and an unstable rate enclose it, then bisects
    the logarithm.

    >>> find_edge(lambda rate: rate < 3.0, 1.0)
    2.8...
    """
    low, high, rate = 0.0, math.inf, start
    while low == 0 or high == math.inf or high / low > ratio:
        if stable(rate):
            low = rate
        else:
            high = rate
        if not start / WIDEST < rate < start * WIDEST:
            return math.nan
        if high == math.inf:
            rate = factor * low
        else:
            rate = high / factor if low == 0 else math.sqrt(low * high)
    return low


def sharpness(cell: Cell, model: nn.Module) -> float:
    """Return λ, the largest eigenvalue of the Hessian of the mean loss over the probe.

    The network is in training mode, as it is when it trains: batch norm has the probe's own mean
    and variance. (The diagnostic ``weight_curvature`` measures in evaluation mode, where batch
    norm's are running averages, which before training are 0 and 1.)
    """
    products = CurvatureProducts(_view(cell, model), cell.probe)
    draw = generator(0, "edge", "lanczos")
    start = 2.0 * torch.randint(2, (products.size,), generator=draw).numpy() - 1.0
    with np.errstate(all="ignore"):
        values = extreme_eigenvalues(products.hessian, start, count=1)
    return math.nan if values is None else float(values[-1])


def signal(cell: Cell, model: nn.Module) -> float:
    """Return the growth of the mean margin under gradient descent, per unit of rate."""
    return diagnostics.signal(_view(cell, model))


def _view(cell: Cell, model: nn.Module) -> View:
    images, labels = (part[: cell.probe] for part in examples(cell.num_classes))
    objective = MAP(LOSSES[cell.loss], FlatPrior(), num_train=len(labels))
    # A copy, since in training mode batch norm's running averages change.
    model, probe = copy.deepcopy(model).train(), Batch(images, labels)
    return View(model=model, objective=objective, probe=probe, initial={}, recorded={})


def measure(
    cell: Cell, *, seeds: Sequence[int], steps: int, threshold: float = math.inf, longest: int = 0
) -> Found:
    """Measure curvature and signal at the start and the edge, and for the network what follows.

    That is the curvature while training and, up to :data:`FEW` classes, steps to a threshold.

    Args:
        cell: What to train.
        seeds: Of weights and batches.
        steps: Of a training that is stable or not.
        threshold: Accuracy on the training batches.
        longest: Steps after which it counts as not reached; 0 to measure the edge alone.
    """
    torch.set_num_threads(1)
    models = [untrained(cell, seed) for seed in seeds]
    start = [sharpness(cell, model) for model in models]
    edges: list[float] = []
    for seed, curvature in zip(seeds, start, strict=True):
        # From the edge of the seed before, where there is one.
        before = [edge for edge in edges if math.isfinite(edge)]
        guess, factor = (before[-1], 4 / 3) if before else (predicted(cell, curvature), 2.0)
        edges.append(find_edge(partial(is_stable, cell, seed, steps=steps), guess, factor=factor))
    signals = [signal(cell, model) for model in models]
    found = Found(cell=cell, sharpness=start, signal=signals, edge=edges)
    if longest == 0 or not all(map(math.isfinite, edges)):
        return found

    def after(rate: float, steps: int) -> float:
        return sharpness(cell, train(cell, seeds[0], rate, steps=steps).model)

    found = replace(found, along=after(edges[0] / 10, LATER), at_edge=after(edges[0], steps))
    if cell.num_classes > FEW:
        return found
    edge, counts = float(np.exp(np.mean(np.log(edges)))), []
    for fraction in FRACTIONS:
        ran = [
            train(cell, seed, fraction * edge, steps=longest, until=threshold).accuracy
            for seed in seeds
        ]
        counts.append([float(len(a)) if reached(a, threshold) else math.inf for a in ran])
    return replace(found, steps=counts)


def predicted(cell: Cell, curvature: float) -> float:
    """Return 2(1 + β)/λ: where SGD with momentum stops being stable on a quadratic.

    >>> predicted(Cell(loss="mse", num_classes=2, momentum=0.9), 2.0)
    1.9
    """
    return 2 * (1 + cell.momentum) / curvature
