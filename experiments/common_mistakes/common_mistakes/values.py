"""What the value of a loss says: at the start, at its floor, and while it rises."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from common_mistakes import accuracies, exact, figure, level, over_time
from common_mistakes.losses import BinaryCrossEntropy
from losslab.figures import Curve, Panel
from losslab.losses import (
    CrossEntropy,
    Focal,
    Loss,
    MeanAbsoluteError,
    MulticlassHinge,
    SquaredError,
    information,
)
from losslab.recording import Run
from losslab.report.measurement import Measurement, TableOfNumbers
from losslab.study.measure import (
    Runs,
    curve_over_seeds,
    number,
    over_seeds,
    predictions,
    record,
    untrained,
)

# The loss, its value at z = 0 as a formula, and what divides it.
STARTS: dict[str, tuple[Loss, str]] = {
    "cross-entropy, with or without label smoothing": (CrossEntropy(), "log K"),
    "focal, γ = 2": (Focal(), "(1 − 1/K)² log K"),
    "squared error, raw outputs, mean": (SquaredError("none"), "1/K"),
    "squared error after softmax, mean": (SquaredError("softmax"), "(K − 1)/K²"),
    "squared error after softmax, sum (Brier)": (SquaredError("softmax", "sum"), "1 − 1/K"),
    "squared error after sigmoid, mean": (SquaredError("sigmoid"), "1/4"),
    "binary cross-entropy, sum": (BinaryCrossEntropy(), "K log 2"),
    "absolute error after softmax": (MeanAbsoluteError(), "2 (1 − 1/K)"),
    "multi-class hinge": (MulticlassHinge(), "K − 1"),
}


def start(runs: Runs, *, num_classes: list[int]) -> Measurement:
    """Show the value at which a loss starts, and two ways of staying there.

    Args:
        runs: ``cross_entropy``, ``rate_high`` and ``rate_low``.
        num_classes: K, of the table.

    Returns:
        ``chance``: cross-entropy of ten classes with all logits 0; ``untrained``: that of networks
        before training, test part; ``high``, ``low``: that after training at too high and too low a
        rate; ``high_accuracy``; ``high_spread``, ``low_spread``: the standard deviation of a logit
        over the test images, mean over the classes.
    """
    zero = torch.zeros(1, 10, dtype=torch.float64)
    chance = CrossEntropy()(zero, torch.tensor([0])).item()
    names = {
        "rate_high": "rate 1: units dead",
        "rate_low": "rate 0.00001: hardly moved",
        "cross_entropy": "rate 0.01",
    }
    curves = [over_time(label, runs[n], "train/objective") for n, label in names.items()]
    quantities = {
        "chance": exact(chance, 1, "cross-entropy at z = 0, ten classes, nats"),
        "untrained": over_seeds(
            [_before(run) for run in runs["cross_entropy"]],
            "cross-entropy on the test part before training, nats",
        ),
        "high_accuracy": accuracies(runs["rate_high"], names["rate_high"]),
    }
    for short in ("high", "low"):
        members, what = runs[f"rate_{short}"], names[f"rate_{short}"]
        quantities[short] = over_seeds(
            [number(run, "test/nll") for run in members], f"final test NLL, {what}, nats"
        )
        quantities[f"{short}_spread"] = over_seeds(
            [_spread(run) for run in members],
            f"standard deviation of a logit over the test images, {what}",
        )
    return Measurement(
        quantities=quantities,
        drawings=figure(
            "stuck_at_log_k",
            "Cross-entropy of a network that has learned nothing is log K, whether its units died "
            "of too high a rate or have hardly moved at too low a one. Ten classes, mean over "
            "seeds and 95% interval; the vertical axis ends at 4.",
            Panel(
                title="Stuck at 2.30",
                x_label="step",
                y_label="training loss (nats)",
                curves=[*map(_cut, curves), level("log 10", chance, curves[0].x)],
            ),
        ),
        tables=[
            TableOfNumbers(
                title="Where a loss starts: all logits 0, K classes",
                columns=["loss", "value", *(f"K = {k}" for k in num_classes)],
                rows=[
                    [name, formula, *(f"{_at_zero(loss, k):.4g}" for k in num_classes)]
                    for name, (loss, formula) in STARTS.items()
                ],
            )
        ],
    )


def _at_zero(loss: Loss, k: int) -> float:
    return float(loss(torch.zeros(1, k, dtype=torch.float64), torch.tensor([0])))


def _before(run: Run) -> float:
    dataset, model = untrained(run)
    images, labels = dataset.tensors("test")
    with torch.inference_mode():
        return float(CrossEntropy()(model(images), labels))


def _spread(run: Run) -> float:
    return predictions(run)[0].std(dim=0).mean().item()


def _cut(curve: Curve, *, at: float = 4.0) -> Curve:
    """Return a curve without what is above; the first steps of a high rate are in the hundreds."""
    low, high = (
        np.minimum(ends, at).tolist() if ends is not None else None
        for ends in (curve.low, curve.high)
    )
    y = [value if value <= at else math.nan for value in curve.y]
    return replace(curve, y=y, low=low, high=high)


def smoothing(runs: Runs, *, label_smoothing: float) -> Measurement:
    """Show the floor of cross-entropy with smoothed labels, the entropy of its targets.

    Args:
        runs: ``smoothed``.
        label_smoothing: ε of those runs.

    Returns:
        ``floor_10``, ``floor_1000``: the lowest value for ten and for a thousand classes;
        ``above``: how far the training loss of the last records is above the floor, nats.
    """
    epsilon, members = label_smoothing, runs["smoothed"]
    floors = {k: _floor(k, epsilon) for k in (10, 1000)}
    curve = over_time("cross-entropy, smoothed labels", members, "train/objective")
    divergence = over_time("its divergence KL(y‖p)", members, "train/kl_divergence")
    shares = np.linspace(0.0, 0.5, 21).tolist()
    return Measurement(
        quantities={
            f"floor_{k}": exact(value, 1, f"cross-entropy at p = y, ε = {epsilon:g}, K = {k}, nats")
            for k, value in floors.items()
        }
        | {
            "above": over_seeds(
                [_end(record(run, "train/objective")[1]) - floors[10] for run in members],
                f"mean of the last five recorded training losses less the floor {floors[10]:.4f}, "
                "nats",
            )
        },
        drawings=figure(
            "smoothing_floor",
            "Left: with smoothed labels the loss stays above the entropy of its targets; training "
            "lowers the divergence alone (mean over seeds, 95% interval). Right: that entropy.",
            Panel(
                title="The loss stays above 0.50",
                x_label="step",
                y_label="nats",
                curves=[curve, divergence, level("H(y), the floor", floors[10], curve.x)],
            ),
            Panel(
                title="The floor H(y)",
                x_label="label smoothing ε",
                y_label="lowest loss (nats)",
                curves=[
                    Curve(label=f"K = {k}", x=shares, y=[_floor(k, share) for share in shares])
                    for k in (2, 10, 1000)
                ],
            ),
        ),
    )


def _floor(k: int, epsilon: float) -> float:
    """Return the loss where the prediction is the smoothed target."""
    y = torch.full((1, k), epsilon / k, dtype=torch.float64)
    y[0, 0] += 1 - epsilon
    if epsilon == 0:
        return information.entropy(y).item()  # at infinite logits
    return float(CrossEntropy(epsilon)(y.log(), torch.tensor([0])))


def _end(values: Sequence[float]) -> float:
    return float(np.mean(values[-5:]))


def rising(runs: Runs) -> Measurement:
    """Show validation loss rise while accuracy does not fall (set ``long``).

    Returns:
        ``rise``: the last validation NLL over its lowest; ``accuracy``: the last accuracy less
        that at the epoch of the lowest NLL; ``wrong``: the share of misclassified validation
        images at the end; ``share``: the share of the validation NLL that is theirs.
    """
    members = runs["long"]
    nll = [record(run, "val/nll", over="epoch")[1] for run in members]
    accuracy = [record(run, "val/accuracy", over="epoch")[1] for run in members]
    best = [int(np.argmin(values)) for values in nll]
    parts = [_of_the_wrong(run) for run in members]
    at = "at the epoch of the lowest validation NLL"
    return Measurement(
        quantities={
            "rise": over_seeds(
                [values[-1] / values[place] for values, place in zip(nll, best, strict=True)],
                "last validation NLL over the lowest",
            ),
            "accuracy": over_seeds(
                [values[-1] - values[place] for values, place in zip(accuracy, best, strict=True)],
                f"last validation accuracy minus that {at}",
            ),
            "wrong": over_seeds([w for w, _ in parts], "share of validation images misclassified"),
            "share": over_seeds([s for _, s in parts], "their share of the validation NLL"),
        },
        drawings=figure(
            "rising_loss",
            "500 images, from epoch 5 on: mean over seeds, 95% interval. The loss is lowest after "
            f"{round(float(np.mean(best)))} epochs on average; accuracy is not lower at the end.",
            Panel(
                title="Validation loss rises",
                x_label="epoch, from 5 on",
                y_label="validation NLL over its lowest",
                curves=[_late(members, "val/nll", relative=True)],
            ),
            Panel(
                title="Validation accuracy does not fall",
                x_label="epoch, from 5 on",
                y_label="validation accuracy (%)",
                curves=[_late(members, "val/accuracy")],
                percent="shown",
            ),
        ),
    )


def _late(runs: Sequence[Run], tag: str, *, relative: bool = False) -> Curve:
    """Return a number from epoch 5 on, as the first epochs would set the scale."""
    values = np.array([record(run, tag, over="epoch")[1] for run in runs])
    if relative:
        values /= values.min(axis=1, keepdims=True)
    first = min(5, values.shape[1] - 1)
    epochs = [float(epoch) for epoch in range(first, values.shape[1])]
    bounds = (1.0, np.inf) if relative else (0.0, 1.0)
    return curve_over_seeds("", epochs, values[:, first:], loss="cross_entropy", bounds=bounds)


def _of_the_wrong(run: Run) -> tuple[float, float]:
    """Return the share of misclassified validation images, and their share of the NLL."""
    logits, labels = predictions(run, "val")
    losses, wrong = CrossEntropy(reduction="none")(logits, labels), logits.argmax(1) != labels
    return wrong.double().mean().item(), (losses[wrong].sum() / losses.sum()).item()
