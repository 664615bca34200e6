"""A prior holds the weights back, unless its sign is wrong (S11 and S13 in science.md)."""

import torch

from identities import exact, figure
from losslab.figures import Curve, Panel
from losslab.losses import MAP, CrossEntropy, GaussianPrior
from losslab.report.measurement import Measurement
from losslab.seeding import generator
from losslab.study.measure import Runs, diverged, number, over_seeds, pairs, record

_SIGNS = {
    "right_sign": "−log P − log g(W)",
    "sign_as_written": "−log P + log g(W), as written",
}


def shrinkage(runs: Runs) -> Measurement:
    """Compare the final weights under a narrow and a wide Gaussian prior, seed by seed.

    Needs the sets ``narrow_prior`` and ``wide_prior``.

    Returns:
        ``norm``: ‖W‖ under the narrow less ‖W‖ under the wide prior.
    """
    differences = [
        number(narrow, "optim/weight_norm") - number(wide, "optim/weight_norm")
        for narrow, wide in pairs(runs["narrow_prior"], runs["wide_prior"])
    ]
    what = "‖W‖ after training under the narrow prior minus that under the wide one, paired"
    return Measurement(quantities={"norm": over_seeds(differences, what)})


def sign_of_a_logarithm(_: Runs, *, count: int, seed: int) -> Measurement:
    """Expand −log(P g) on random numbers, and compare the library's objective with a posterior.

    Args:
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
    for _pair in range(count):
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
            "minus": exact(
                (joint - (-p.log() - g.log())).abs().max().item(),
                count,
                "largest |−log(P g) − (−log P − log g)| on random numbers, nats",
            ),
            "plus": exact(
                (joint - (-p.log() + g.log())).abs().mean().item(),
                count,
                "mean |−log(P g) − (−log P + log g)| on random numbers, nats",
            ),
            "posterior": exact(
                (difference - difference[0]).abs().max().item(),
                count,
                "largest error of N · MAP against −log Π P g(W), but for a constant, nats",
            ),
        }
    )


def sign_while_training(runs: Runs) -> Measurement:
    """Compare runs with −log g(W) and with + log g(W), as the seed document has it.

    Needs the sets ``right_sign`` and ``sign_as_written``.

    Returns:
        ``right``: the largest ‖W‖ of the second half of training over that of the first half;
        ``as_written``: the factor from the first to the last ‖W‖ recorded; ``diverged``: the
        share of runs with the sign as written that ended because a number was no longer finite.
    """
    norms = {name: [record(p, "optim/weight_norm") for p in runs[name]] for name in _SIGNS}
    settled = [
        max(values[len(values) // 2 :]) / max(values[: len(values) // 2])
        for _, values in norms["right_sign"]
    ]
    grown = [values[-1] / values[0] for _, values in norms["sign_as_written"]]
    ended = diverged(runs["sign_as_written"])
    return Measurement(
        quantities={
            "right": exact(
                max(settled),
                len(settled),
                "largest ‖W‖ of the second half of training over that of the first, −log g(W), the "
                "largest over the seeds",
            ),
            "as_written": exact(
                min(grown),
                len(grown),
                "‖W‖ at the last record over ‖W‖ at the first, + log g(W), the smallest over the "
                "seeds",
            ),
            "diverged": exact(
                sum(ended) / len(ended),
                len(ended),
                "share of runs that ended in infinity or NaN, + log g(W)",
            ),
        },
        drawings=figure(
            "prior_sign",
            "The same Gaussian prior with either sign (one seed): subtracting its logarithm holds "
            "the weights; adding it, as written in the seed document, drives them up exponentially "
            "until the numbers overflow.",
            Panel(
                title="The sign of the prior",
                x_label="step",
                y_label="‖W‖",
                y_log=True,
                curves=[
                    Curve(label=label, x=norms[name][0][0], y=norms[name][0][1])
                    for name, label in _SIGNS.items()
                ],
            ),
        ),
    )
