"""S3 and S7: H(p, q) = H(p) + KL(p‖q), and what is left of it for one-hot targets."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from losslab.figures import Curve, Drawing, Panel
from losslab.losses import CrossEntropy, KLDivergence, information
from losslab.report.evidence import Measurement, Quantity
from losslab.seeding import generator
from losslab.study.identities.optimum import random_distributions
from losslab.study.measure import Runs
from losslab.study.reading import predictions, record


def random_pairs(
    runs: Runs,  # noqa: ARG001
    *,
    num_classes: list[int],
    count: int,
    seed: int,
) -> Measurement:
    """Compare both sides of the identity on random pairs of distributions, in float64.

    Returns:
        ``residual``: the largest ``|H(p, q) − H(p) − KL(p‖q)|`` in nats.
    """
    draw = generator(seed, "identities", "decomposition")
    residuals = []
    for k in num_classes:
        p = random_distributions(count, k, generator=draw)
        q = random_distributions(count, k, generator=draw)
        parts = information.entropy(p) + information.kl_divergence(p, q)
        residuals.append(information.cross_entropy(p, q) - parts)
    sizes = ", ".join(map(str, num_classes))
    return Measurement(
        quantities={
            "residual": Quantity(
                value=_largest(torch.cat(residuals)),
                n=count * len(num_classes),
                what=f"largest |H(p, q) − H(p) − KL(p‖q)| on random pairs, K = {sizes}, nats",
            ),
        }
    )


def while_training(runs: Runs) -> Measurement:
    """Add up the three parts that runs with smoothed labels logged (set ``smoothed``).

    Returns:
        ``residual``: the largest ``|H(y, p) − H(y) − KL(y‖p)|`` of all records in nats.
    """
    residuals: list[float] = []
    curves: list[Curve] = []
    for point in runs["smoothed"]:
        names = ("cross_entropy", "entropy", "kl_divergence")
        steps = record(point, "train/cross_entropy")[0]
        total, entropy, divergence = (record(point, f"train/{name}")[1] for name in names)
        residuals += [abs(t - h - d) for t, h, d in zip(total, entropy, divergence, strict=True)]
        if not curves:
            labels = ("cross-entropy H(y, p)", "entropy H(y)", "divergence KL(y‖p)")
            curves = [
                Curve(label=label, x=steps, y=values)
                for label, values in zip(labels, (total, entropy, divergence), strict=True)
            ]
    return Measurement(
        quantities={
            "residual": Quantity(
                value=max(residuals),
                n=len(residuals),
                what="largest |H(y, p) − H(y) − KL(y‖p)| of the logged float32 parts, nats",
            ),
        },
        drawings=[
            Drawing(
                name="decomposition",
                caption="Training with label smoothing (one seed, batch means): cross-entropy "
                "cannot fall below the entropy of its targets, the divergence can fall to zero.",
                panels=[
                    Panel(
                        title="The parts of cross-entropy",
                        x_label="step",
                        y_label="nats",
                        curves=curves,
                    )
                ],
            )
        ],
    )


def one_hot_targets(runs: Runs) -> Measurement:
    """Compare cross-entropy and KL on a trained network's test logits and one-hot labels.

    The labels are given as probabilities, so that the two losses compute along different ways.

    Returns:
        ``entropy``: the largest H(y); ``measures`` and ``losses``: the largest difference between
        cross-entropy and divergence, of distributions and of the losses on logits, in nats.
    """
    logits, labels = predictions(runs["cross_entropy"][0])
    y = one_hot(labels, logits.shape[1]).double()
    p = logits.softmax(1)
    measures = information.cross_entropy(y, p) - information.kl_divergence(y, p)
    losses = CrossEntropy(reduction="none")(logits, y) - KLDivergence(reduction="none")(logits, y)
    n = len(labels)
    return Measurement(
        quantities={
            "entropy": Quantity(
                value=_largest(information.entropy(y)), n=n, what="largest H(y), nats"
            ),
            "measures": Quantity(
                value=_largest(measures), n=n, what="largest |H(y, p) − KL(y‖p)| of softmax, nats"
            ),
            "losses": Quantity(
                value=_largest(losses),
                n=n,
                what="largest |CrossEntropy − KLDivergence| on test logits, nats",
            ),
        }
    )


def _largest(values: Tensor) -> float:
    return values.abs().max().item()
