"""S6 and S10 again, each objective computed its own way: gradient descent written out."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from losslab.data import BatchLoader
from losslab.losses import CrossEntropy, KLDivergence, information
from losslab.report.measurement import Measurement, Quantity
from losslab.study.measure import Runs
from losslab.study.reading import untrained

Objective = Callable[[Tensor], Tensor]


def separate_ways(
    runs: Runs,
    *,
    examples: int,
    steps: int,
    rate: float,
    label_smoothing: float,
) -> Measurement:
    """Train softmax regression on real pictures, in float64, under objectives that share no code.

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
    hard, smoothed = CrossEntropy(), CrossEntropy(label_smoothing)
    divergence = KLDivergence()

    def likelihood(logits: Tensor) -> Tensor:
        chosen = logits.softmax(1)[torch.arange(len(labels)), labels]
        return -chosen.prod().log() / len(labels)

    def train(objective: Objective) -> tuple[Tensor, Tensor]:
        return gradient_descent(objective, features, num_classes=k, steps=steps, rate=rate)

    ends = {
        "cross_entropy": train(lambda z: hard(z, labels)),
        "likelihood": train(likelihood),
        "smoothed": train(lambda z: smoothed(z, labels)),
        "divergence": train(lambda z: divergence(z, y)),
    }
    entropy = information.entropy(y).mean().item()
    residual = ends["smoothed"][1] - ends["divergence"][1] - entropy
    what = (
        f"largest difference of weights after {steps} steps on {len(labels)} pictures, float64 "
        f"(largest weight {ends['cross_entropy'][0].abs().max():.2g}, all began at 0)"
    )
    return Measurement(
        quantities={
            "likelihood": Quantity(
                value=_gap(ends["likelihood"][0], ends["cross_entropy"][0]),
                n=1,
                what=f"{what}: −log Π P(y|x)/N and cross-entropy",
            ),
            "divergence": Quantity(
                value=_gap(ends["divergence"][0], ends["smoothed"][0]),
                n=1,
                what=f"{what}: divergence and smoothed cross-entropy",
            ),
            "value": Quantity(
                value=residual.abs().max().item(),
                n=steps,
                what=f"largest |H(y, p) − KL(y‖p) − H(y)| of all steps, H(y) = {entropy:.4f}, nats",
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


def _gap(left: Tensor, right: Tensor) -> float:
    return (left - right).abs().max().item()
