"""Cross-entropy, KL and negative log-likelihood are one objective (S3, S6, S7, S10).

H(p, q) = H(p) + KL(p‖q), and what is left of it for one-hot targets.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from identities import exact, figure
from identities.optimum import random_distributions
from losslab.data import BatchLoader
from losslab.figures import Curve, Drawing, Panel
from losslab.losses import CrossEntropy, KLDivergence, information
from losslab.report.measurement import Measurement
from losslab.seeding import generator
from losslab.study.measure import Runs, final_weights, pairs, predictions, record, untrained

Objective = Callable[[Tensor], Tensor]


def random_pairs(_: Runs, *, num_classes: list[int], count: int, seed: int) -> Measurement:
    """Compare both sides of the identity on random pairs of distributions, in float64.

    Returns:
        ``residual``: the largest ``|H(p, q) − H(p) − KL(p‖q)|`` in nats.
    """
    draw = generator(seed, "identities", "decomposition")
    residuals = []
    for k in num_classes:
        p, q = (random_distributions(count, k, generator=draw) for _side in range(2))
        parts = information.entropy(p) + information.kl_divergence(p, q)
        residuals.append(_largest(information.cross_entropy(p, q) - parts))
    sizes = ", ".join(map(str, num_classes))
    what = f"largest |H(p, q) − H(p) − KL(p‖q)| on random pairs, K = {sizes}, nats"
    return Measurement(quantities={"residual": exact(max(residuals), count * len(residuals), what)})


def while_training(runs: Runs) -> Measurement:
    """Add up the three parts that runs with smoothed labels logged (set ``smoothed``).

    Returns:
        ``residual``: the largest ``|H(y, p) − H(y) − KL(y‖p)|`` of all records in nats.
    """
    labels = {
        "cross_entropy": "cross-entropy H(y, p)",
        "entropy": "entropy H(y)",
        "kl_divergence": "divergence KL(y‖p)",
    }
    logged = [{n: record(p, f"train/{n}") for n in labels} for p in runs["smoothed"]]
    residuals = [
        abs(total - entropy - divergence)
        for parts in logged
        for total, entropy, divergence in zip(*(parts[n][1] for n in labels), strict=True)
    ]
    return Measurement(
        quantities={
            "residual": exact(
                max(residuals),
                len(residuals),
                "largest |H(y, p) − H(y) − KL(y‖p)| of the logged float32 parts, nats",
            )
        },
        drawings=figure(
            "decomposition",
            "Training with label smoothing (one seed, batch means): cross-entropy cannot fall "
            "below the entropy of its targets, the divergence can fall to zero.",
            Panel(
                title="The parts of cross-entropy",
                x_label="step",
                y_label="nats",
                curves=[
                    Curve(label=label, x=logged[0][name][0], y=logged[0][name][1])
                    for name, label in labels.items()
                ],
            ),
        ),
    )


def one_hot_targets(runs: Runs) -> Measurement:
    """Compare cross-entropy and KL on a trained network's test logits and one-hot labels.

    The labels are given as probabilities, so that the two losses compute along different ways.

    Returns:
        ``entropy``: the largest H(y); ``measures`` and ``losses``: the largest difference between
        cross-entropy and divergence, of distributions and of the losses on logits, in nats.
    """
    logits, labels = predictions(runs["cross_entropy"][0])
    y, p, n = one_hot(labels, logits.shape[1]).double(), logits.softmax(1), len(labels)
    measures = information.cross_entropy(y, p) - information.kl_divergence(y, p)
    losses = CrossEntropy(reduction="none")(logits, y) - KLDivergence(reduction="none")(logits, y)
    return Measurement(
        quantities={
            "entropy": exact(_largest(information.entropy(y)), n, "largest H(y), nats"),
            "measures": exact(
                _largest(measures), n, "largest |H(y, p) − KL(y‖p)| of softmax, nats"
            ),
            "losses": exact(
                _largest(losses), n, "largest |CrossEntropy − KLDivergence| on test logits, nats"
            ),
        }
    )


def equal_runs(runs: Runs) -> Measurement:
    """Compare the final weights of runs that differ in nothing but the name of their loss.

    Needs the sets ``cross_entropy``, ``nll``, ``kl_divergence`` and, to show that weights can
    differ at all, ``smoothed``; all with the same seeds.

    Returns:
        ``nll``, ``kl_divergence``, ``smoothed``: the largest difference from the weights under
        cross-entropy (for ``smoothed`` the smallest such difference over the seeds);
        ``objective``: that of the objectives logged under cross-entropy and ``nll``.
    """
    reference = runs["cross_entropy"]
    gaps = {
        name: [
            float(np.abs(final_weights(one) - final_weights(other)).max())
            for one, other in pairs(reference, runs[name])
        ]
        for name in ("nll", "kl_divergence", "smoothed")
    }
    differences = [
        abs(a - b)
        for pair in pairs(reference, runs["nll"])
        for a, b in zip(*(record(point, "train/objective")[1] for point in pair), strict=True)
    ]
    what = "largest |weight − weight under cross-entropy| after training, same seed"
    smoothed = f"{what}; labels smoothed; the smallest over the seeds"
    return Measurement(
        quantities={
            "nll": exact(max(gaps["nll"]), len(reference), what),
            "kl_divergence": exact(max(gaps["kl_divergence"]), len(reference), what),
            "smoothed": exact(min(gaps["smoothed"]), len(reference), smoothed),
            "objective": exact(
                max(differences),
                len(differences),
                "largest difference of the objectives logged in the same step, nats",
            ),
        },
        drawings=_trajectories(runs),
    )


def _trajectories(runs: Runs) -> list[Drawing]:
    def curve(name: str, label: str, loss: str, first: int | None = None) -> Curve:
        steps, values = record(runs[name][0], "train/objective")
        if first is None:
            return Curve(label=label, x=steps, y=values, loss=loss)
        return Curve(label=label, x=steps[first::4], y=values[first::4], loss=loss, line=False)

    return figure(
        "trajectories",
        "Three names for one curve: the objective in nats while training under cross-entropy "
        "(line), KL divergence and negative log-likelihood (every fourth record of each as a mark, "
        "so that all can be seen). Smoothed labels, another loss, leave the curve at once. One "
        "seed.",
        Panel(
            title="One trajectory, three names",
            x_label="step",
            y_label="objective, nats",
            y_log=True,
            curves=[
                curve("cross_entropy", "cross-entropy", "cross_entropy"),
                curve("kl_divergence", "KL divergence", "kl_divergence", 0),
                curve("nll", "negative log-likelihood", "nll", 2),
                curve("smoothed", "cross-entropy, smoothed labels", "label_smoothing"),
            ],
        ),
    )


def separate_ways(
    runs: Runs, *, examples: int, steps: int, rate: float, label_smoothing: float
) -> Measurement:
    """Train softmax regression on real images, in float64, under objectives that share no code.

    A run of ``loss=nll`` and one of ``loss=kl_divergence`` call the function that computes
    cross-entropy, so that their equality says little. Here cross-entropy is beside the logarithm
    of the product of the likelihoods, multiplied out, and smoothed cross-entropy beside the
    divergence from targets that were smoothed by hand.

    Args:
        runs: ``cross_entropy``, for its data.
        examples: Few enough that their product of likelihoods is above zero in float64.
        steps: Of gradient descent on all examples.
        rate: Learning rate.
        label_smoothing: ε.

    Returns:
        ``likelihood`` and ``divergence``: the largest difference of the weights after training;
        ``value``: the largest ``|H(y, p) − KL(y‖p) − H(y)|`` of all steps in nats.
    """
    dataset, _ = untrained(runs["cross_entropy"][0])
    loader = BatchLoader(dataset.train, batch_size=examples, mean=dataset.mean, std=dataset.std)
    batch = next(loader.in_order(examples))
    features, labels = batch.images.flatten(1).double(), batch.labels
    k = dataset.num_classes
    y = (1 - label_smoothing) * one_hot(labels, k).double() + label_smoothing / k
    hard, smoothed, divergence = CrossEntropy(), CrossEntropy(label_smoothing), KLDivergence()

    def likelihood(logits: Tensor) -> Tensor:
        chosen = logits.softmax(1)[torch.arange(len(labels)), labels]
        return -chosen.prod().log() / len(labels)

    objectives: dict[str, Objective] = {
        "cross_entropy": lambda z: hard(z, labels),
        "likelihood": likelihood,
        "smoothed": lambda z: smoothed(z, labels),
        "divergence": lambda z: divergence(z, y),
    }
    weights, values = {}, {}
    for name, objective in objectives.items():
        weights[name], values[name] = gradient_descent(
            objective, features, num_classes=k, steps=steps, rate=rate
        )
    entropy = information.entropy(y).mean().item()
    what = (
        f"largest difference of weights after {steps} steps on {len(labels)} images, float64 "
        f"(largest weight {weights['cross_entropy'].abs().max():.2g}, all began at 0)"
    )
    return Measurement(
        quantities={
            "likelihood": exact(
                _largest(weights["likelihood"] - weights["cross_entropy"]),
                1,
                f"{what}: −log Π P(y|x)/N and cross-entropy",
            ),
            "divergence": exact(
                _largest(weights["divergence"] - weights["smoothed"]),
                1,
                f"{what}: divergence and smoothed cross-entropy",
            ),
            "value": exact(
                _largest(values["smoothed"] - values["divergence"] - entropy),
                steps,
                f"largest |H(y, p) − KL(y‖p) − H(y)| of all steps, H(y) = {entropy:.4f}, nats",
            ),
        }
    )


def gradient_descent(
    objective: Objective, features: Tensor, *, num_classes: int, steps: int, rate: float
) -> tuple[Tensor, Tensor]:
    """Return the weights ``(D, K)`` after training from zero, and the objective ``(steps,)``.

    Args:
        objective: From logits ``(N, K)`` to ``()``.
        features: ``(N, D)`` float64.
        num_classes: K.
        steps: Of gradient descent.
        rate: Learning rate.
    """
    weights = torch.zeros(features.shape[1], num_classes, dtype=features.dtype, requires_grad=True)
    values = []
    for _ in range(steps):
        value = objective(features @ weights)
        (gradient,) = torch.autograd.grad(value, weights)
        with torch.no_grad():
            weights -= rate * gradient
        values.append(value.detach())
    return weights.detach(), torch.stack(values)


def _largest(values: Tensor) -> float:
    return values.abs().max().item()
