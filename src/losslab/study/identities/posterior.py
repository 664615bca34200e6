"""S13: the logarithm of likelihood times prior."""

import torch

from losslab.losses import MAP, CrossEntropy, GaussianPrior
from losslab.report.measurement import Measurement, Quantity
from losslab.seeding import generator
from losslab.study.measure import Runs


def sign_of_a_logarithm(
    runs: Runs,  # noqa: ARG001
    *,
    count: int,
    seed: int,
) -> Measurement:
    """Expand −log(P g) on random numbers, and compare the library's objective with a posterior.

    Args:
        runs: None are needed.
        count: Pairs of P and g, and of weights.
        seed: Of the random numbers.

    Returns:
        ``minus``: the largest ``|−log(P g) − (−log P − log g)|``; ``plus``: the mean of
        ``|−log(P g) − (−log P + log g)|``; ``posterior``: the largest error of differences of
        N · :class:`MAP` as differences of −log(P g), with g multiplied out as a density; nats.
    """
    draw = generator(seed, "identities", "sign")
    p, g = 0.01 + 0.98 * torch.rand(2, count, generator=draw, dtype=torch.float64)
    joint = -(p * g).log()
    std, examples, width = 0.7, 5, 3
    objective = MAP(CrossEntropy(), GaussianPrior(std), num_train=examples)
    labels = torch.arange(examples) % width
    library, density = [], []
    for _ in range(count):
        weights = torch.randn(4, width, generator=draw, dtype=torch.float64)
        features = torch.randn(examples, 4, generator=draw, dtype=torch.float64)
        logits = features @ weights
        library.append(examples * objective(logits, labels, [weights]))
        likelihood = logits.softmax(1)[torch.arange(examples), labels].prod()
        normal = torch.exp(-weights.square() / (2 * std**2)) / (2 * torch.pi * std**2) ** 0.5
        density.append(-(likelihood * normal.prod()).log())
    difference = torch.stack(library) - torch.stack(density)
    return Measurement(
        quantities={
            "minus": Quantity(
                value=(joint - (-p.log() - g.log())).abs().max().item(),
                n=count,
                what="largest |−log(P g) − (−log P − log g)| on random numbers, nats",
            ),
            "plus": Quantity(
                value=(joint - (-p.log() + g.log())).abs().mean().item(),
                n=count,
                what="mean |−log(P g) − (−log P + log g)| on random numbers, nats",
            ),
            "posterior": Quantity(
                value=(difference - difference[0]).abs().max().item(),
                n=count,
                what="largest error of N · MAP against −log Π P g(W), but for a constant, nats",
            ),
        }
    )
