"""MAP under a Gaussian prior beside the optimizer's weight decay λ = 1/(σ²N).

Whole runs in float32, and tiny trainings in float64, where two ways that are the same in
mathematics stay together.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from losslab.figures import Curve, Drawing, Panel
from losslab.losses import (
    MAP,
    CrossEntropy,
    FlatPrior,
    GaussianPrior,
    Loss,
    Prior,
    SquaredError,
)
from losslab.models import MLP
from losslab.report.measurement import Measurement, TableOfNumbers
from losslab.report.statistics import FloatArray
from losslab.seeding import generator
from losslab.study.measure import Runs, final_weights, of_config, over_seeds, pairs

EXAMPLES, CLASSES, BATCH = 40, 3, 8


def relative_difference(one: FloatArray, other: FloatArray) -> float:
    """Return ‖a − b‖/‖b‖ of two ``(P,)``; no entry differs by more than that times ‖b‖.

    >>> relative_difference(np.array([3.0, 4.0]), np.array([3.0, 4.5])) < 0.1
    True
    """
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def path(
    make_optimizer: Callable[[Iterable[Tensor]], torch.optim.Optimizer],
    objective: MAP,
    *,
    seed: int,
    steps: int,
) -> FloatArray:
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


def trained_weights(runs: Runs, *, compare: dict[str, list[str]]) -> Measurement:
    """Compare final weights of whole runs, float32, from the same seeds.

    Args:
        runs: The sets that ``compare`` names.
        compare: Name to two sets, the first with a prior, the second with weight decay.
    """
    quantities, rows = {}, []
    for name, (with_prior, with_decay) in compare.items():
        couples = pairs(runs[with_prior], runs[with_decay])
        differences = [relative_difference(*map(final_weights, couple)) for couple in couples]
        quantities[name] = over_seeds(
            differences, f"‖W − W'‖/‖W'‖ of the final weights of {with_prior} and {with_decay}"
        )
        std = of_config(runs[with_prior], "loss.prior.std")
        size = of_config(runs[with_prior], "data.train_size")
        decay = of_config(runs[with_decay], "optimizer.weight_decay")
        numbers = [f"{decay * std**2 * size:.3g}", f"{max(differences):.2g}"]
        rows.append(
            [f"{with_prior} – {with_decay}", f"{std:g}", f"{size:g}", f"{decay:g}", *numbers]
        )
    table = TableOfNumbers(
        title="Prior in the loss beside weight decay, whole runs in float32",
        columns=["runs", "σ", "N", "weight decay λ", "λσ²N", "largest ‖W − W'‖/‖W'‖"],
        rows=rows,
    )
    return Measurement(quantities=quantities, tables=[table])


def float64_paths(_: Runs, *, std: float, steps: int, seeds: list[int]) -> Measurement:
    """Compare weights after every step, float64, on a tiny network.

    Args:
        std: σ of the prior.
        steps: Updates.
        seeds: Of points, initial weights and batches.
    """
    curves, quantities = [], {}
    for name, case in _cases(std).items():
        differences = np.array([_differences(case, seed=seed, steps=steps) for seed in seeds])
        quantities[name] = over_seeds(
            differences.max(axis=1),
            f"largest ‖W − W'‖/‖W'‖ of {steps} steps in float64; {case.label}",
        )
        worst = differences.max(axis=0)
        # A step at which the two are equal to the bit has no place on a log axis.
        y = np.where(worst > 0, worst, np.nan).tolist()
        curves.append(Curve(label=case.label, x=list(range(1, steps + 1)), y=y, loss=case.loss))
    drawing = Drawing(
        name="weight_decay",
        caption=(
            "How far training with the prior in the loss and training with weight decay are apart, "
            f"λ = 1/(σ²N), float64, the largest of {len(seeds)} seeds. Rounding is 1e-16."
        ),
        panels=[
            Panel(
                title="Same training or not?",
                x_label="step",
                y_label="‖W − W'‖/‖W'‖",
                curves=curves,
                y_log=True,
            )
        ],
    )
    return Measurement(quantities=quantities, drawings=[drawing])


class _Case(NamedTuple):
    label: str
    prior: Prior
    make_optimizer: Callable[..., torch.optim.Optimizer]
    decay: float
    likelihood: Loss = CrossEntropy()
    loss: str | None = None


def _cases(std: float) -> dict[str, _Case]:
    decay = 1 / (std**2 * EXAMPLES)
    gaussian, square = GaussianPrior(std), partial(_square, weight=EXAMPLES * decay)
    sgd = partial(torch.optim.SGD, lr=0.05)
    momentum = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
    adam, adamw = partial(torch.optim.Adam, lr=0.01), partial(torch.optim.AdamW, lr=0.01)
    return {
        "sgd": _Case("SGD, weight decay λ", gaussian, sgd, decay),
        "momentum": _Case("SGD with momentum, weight decay λ", gaussian, momentum, decay),
        "adam": _Case("Adam, weight decay λ", gaussian, adam, decay),
        "adamw": _Case("AdamW, weight decay λ", gaussian, adamw, decay),
        "square_double": _Case("penalty λ‖W‖², SGD, weight decay 2λ", square, sgd, 2 * decay),
        "mse": _Case(
            "squared error, SGD, weight decay λ",
            gaussian,
            sgd,
            decay,
            SquaredError("none"),
            loss="mse",
        ),
        "square_same": _Case("penalty λ‖W‖², SGD, weight decay λ", square, sgd, decay),
    }


def _square(parameters: Iterable[Tensor], *, weight: float) -> Tensor:
    """Return weight·‖W‖², without a half, ``()``."""
    return weight * nn.utils.parameters_to_vector(parameters).square().sum()


def _differences(case: _Case, *, seed: int, steps: int) -> FloatArray:
    """Return ``(steps,)`` relative differences of prior in the loss and decay in the optimizer."""
    flat = MAP(case.likelihood, FlatPrior(), EXAMPLES)
    full = MAP(case.likelihood, case.prior, EXAMPLES)
    decayed = partial(case.make_optimizer, weight_decay=case.decay)
    plain = partial(case.make_optimizer, weight_decay=0.0)
    one = path(plain, full, seed=seed, steps=steps)
    other = path(decayed, flat, seed=seed, steps=steps)
    return np.array([relative_difference(a, b) for a, b in zip(one, other, strict=True)])
