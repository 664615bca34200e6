"""A loss and an output that do not fit: sigmoid, softmax twice, softmax skipped, yes or no."""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from common_mistakes import QUIET, accuracies, accuracy_gained, exact, figure, level, over_time
from common_mistakes.losses import SkippedSoftmax, SoftmaxTwice
from losslab.figures import Curve, Panel, Style
from losslab.losses import CrossEntropy, Loss, SquaredError
from losslab.recording import Run
from losslab.report.measurement import Measurement, TableOfNumbers
from losslab.report.statistics import FloatArray
from losslab.seeding import generator
from losslab.study.measure import Runs, final_weights, over_seeds, pairs, predictions, record

SHARE = (0.0, 1.0)


def gradient(loss: Loss, logits: Tensor, labels: Tensor) -> Tensor:
    """Return each example's gradient in its logits, ``(N, K)``."""
    logits = logits.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss.per_example(logits, labels).sum(), logits)
    return found


RATES = {
    "mse_sigmoid_slow": "squared error after sigmoid, rate 0.001",
    "mse_sigmoid": "squared error after sigmoid, rate 0.01",
    "mse_sigmoid_ten": "squared error after sigmoid, rate 0.1",
    "mse_sigmoid_fast": "squared error after sigmoid, rate 0.5",
}
# Names of line styles: evidence.json has no tuples.
LOOKS = (
    ("#56B4E9", "v", "-"),
    ("#0072B2", "^", "--"),
    ("#E69F00", "s", "-."),
    ("#D55E00", "d", ":"),
)


def plateau(runs: Runs, *, num_classes: int) -> Measurement:
    """Show squared error after sigmoid at the plateau where every output is 1/K.

    Args:
        runs: :data:`RATES`, and ``cross_entropy`` at the rate of ``mse_sigmoid``.
        num_classes: K.

    Returns:
        ``value``, ``output``, ``accuracy``: its value, the mean of its outputs and the accuracy at
        the end, on the test part; ``slow_value``, ``slow_output``: likewise at the lowest rate;
        ``ten``, ``fast``, ``cross_entropy``: the accuracies of the others; ``ratio``:
        cross-entropy's gradient over its own where each says 1/K to every class.
    """
    loss, k = SquaredError("sigmoid"), num_classes
    label, zero = torch.tensor([0]), torch.zeros(1, k, dtype=torch.float64)
    small = gradient(loss, torch.full_like(zero, -math.log(k - 1)), label)
    ratio = gradient(CrossEntropy(), zero, label).norm() / small.norm()
    quantities = {
        "ratio": exact(
            ratio.item(),
            1,
            f"‖gradient in the logits‖ of cross-entropy over squared error's after sigmoid "
            f"where each says 1/{k} to every class",
        ),
        "cross_entropy": accuracies(runs["cross_entropy"], "cross-entropy, rate 0.01"),
    }
    for prefix, name in (("", "mse_sigmoid"), ("slow_", "mse_sigmoid_slow")):
        final = [predictions(run) for run in runs[name]]
        what = f"on the test part, {RATES[name]}"
        quantities |= {
            f"{prefix}value": over_seeds(
                [loss(*each).item() for each in final], f"final ‖σ(z) − y‖²/K {what}"
            ),
            f"{prefix}output": over_seeds(
                [z.sigmoid().mean().item() for z, _ in final], f"mean final output {what}"
            ),
        }
    for short, name in {"accuracy": "", "ten": "_ten", "fast": "_fast"}.items():
        full = f"mse_sigmoid{name}"
        quantities[short] = accuracies(runs[full], RATES[full])
    losses = [_rate(runs, name, "train/objective", "step") for name in RATES]
    learned = [_rate(runs, name, "val/accuracy", "epoch") for name in RATES]
    once = _accuracy("cross-entropy, rate 0.01", runs["cross_entropy"], loss="cross_entropy")
    return Measurement(
        quantities=quantities,
        drawings=figure(
            "sigmoid_plateau",
            "Squared error after sigmoid falls at once to the value of a network that says 1/K to "
            "everything, (1 − 1/K)/K. At 0.01 it leaves it slowly, at 0.001 hardly; at 0.1 and 0.5 "
            "all outputs go to 0 first. Mean over seeds and 95% interval.",
            Panel(
                title="Long at 0.09, or stuck at 0.1",
                x_label="step",
                y_label="training loss",
                curves=[*losses, level("every output 1/K", (1 - 1 / k) / k, losses[0].x)],
            ),
            Panel(
                title="What is learned",
                x_label="epoch",
                y_label="validation accuracy (%)",
                curves=[*learned, once],
                percent="whole",
            ),
            legend_below=True,
        ),
    )


def _rate(runs: Runs, name: str, tag: str, over: str) -> Curve:
    curve = over_time(RATES[name], runs[name], tag, over=over)
    return replace(curve, style=Style(*LOOKS[list(RATES).index(name)]))


def softmax_twice(runs: Runs, *, num_classes: list[int]) -> Measurement:
    """Show what a second softmax does to the values of cross-entropy and to training.

    Args:
        runs: ``cross_entropy`` and ``softmax_twice``.
        num_classes: K, of the table.

    Returns:
        ``floor``, ``certainty``: for ten classes the lowest loss, and the largest probability that
        is left when softmax is applied twice; ``lowest``: the lowest training loss recorded in any
        run; ``accuracy``, ``cost``: the test accuracy, and how much it is above cross-entropy's.
    """
    floors = {k: _sure(SoftmaxTwice(), k) for k in (10, *num_classes)}
    twice = [record(run, "train/objective")[1] for run in runs["softmax_twice"]]
    once, wrong = runs["cross_entropy"], runs["softmax_twice"]
    curves = [
        over_time("softmax, then cross-entropy", wrong, "train/objective"),
        over_time("cross-entropy", once, "train/objective", loss="cross_entropy"),
    ]
    return Measurement(
        quantities={
            "floor": exact(
                floors[10], 1, "cross-entropy with softmax(z) as logits, right and sure"
            ),
            "certainty": exact(
                math.exp(-floors[10]), 1, "largest probability after two softmaxes, ten classes"
            ),
            "lowest": exact(
                min(map(min, twice)), sum(map(len, twice)), "lowest training loss of any record"
            ),
            "accuracy": accuracies(wrong, "softmax twice"),
            "cost": accuracy_gained(wrong, once, "softmax twice minus cross-entropy"),
        },
        drawings=figure(
            "softmax_twice",
            "A network that ends in a softmax, in front of a cross-entropy that applies its own. "
            "Same learning rate, mean over seeds and 95% interval.",
            Panel(
                title="The loss cannot fall below 1.46",
                x_label="step",
                y_label="training loss (nats)",
                curves=[*curves, level("log(1 + 9/e)", floors[10], curves[0].x)],
            ),
            Panel(
                title="What is learned",
                x_label="epoch",
                y_label="validation accuracy (%)",
                curves=[
                    _accuracy("softmax, then cross-entropy", wrong),
                    _accuracy("cross-entropy", once, loss="cross_entropy"),
                ],
                percent="whole",
            ),
        ),
        tables=[
            TableOfNumbers(
                title="Softmax applied twice: where the loss starts and where it must stop",
                columns=["classes K", "start, log K", "floor, log(1 + (K − 1)/e)"],
                rows=[[f"{k}", f"{math.log(k):.4f}", f"{floors[k]:.4f}"] for k in num_classes],
            )
        ],
    )


def _sure(loss: Loss, k: int) -> float:
    """Return the loss of one example for which the network is right and sure."""
    logits = torch.zeros(1, k, dtype=torch.float64)
    logits[0, 0] = 1000.0
    return float(loss(logits, torch.tensor([0])))


def skipped(runs: Runs, *, count: int, seed: int) -> Measurement:
    """Compare darknet's "sse", which skips the softmax going back, with what it could be.

    Args:
        runs: ``cross_entropy``, ``skipped_softmax`` and ``brier``.
        count: Random logits of ten classes.
        seed: Of them.

    Returns:
        ``gradient``: the largest difference from cross-entropy's gradient in the logits, float64;
        ``sse``: the size of ½‖p − y‖²'s own gradient over cross-entropy's, where a wrong class has
        all but 0.001 of the probability of each other; ``weights``, ``brier_weights``: the relative
        difference of final weights from those of cross-entropy, same seed; ``accuracy``: the
        difference from cross-entropy's accuracy.
    """
    draw = generator(seed, "common_mistakes", "skipped")
    z = 3 * torch.randn(count, 10, generator=draw, dtype=torch.float64)
    labels = torch.randint(10, (count,), generator=draw)
    apart = gradient(SkippedSoftmax(), z, labels) - gradient(CrossEntropy(), z, labels)
    losses = {
        "cross-entropy": (CrossEntropy(), 1.0, "cross_entropy"),
        "“sse” that skips softmax": (SkippedSoftmax(), 1.0, None),
        "½‖p − y‖² through softmax": (SquaredError("softmax", "sum"), 0.5, "brier"),
    }
    shares = np.geomspace(1e-4, 0.5, 15)
    sizes = {name: _sizes(loss, shares, factor) for name, (loss, factor, _) in losses.items()}
    wrong = [_sizes(loss, np.array([1e-3]), factor)[0] for loss, factor, _ in losses.values()]
    others = {"skipped_softmax": "weights", "brier": "brier_weights"}
    return Measurement(
        quantities={
            "gradient": exact(
                apart.abs().max().item(), apart.numel(), "largest |gradient − (p − y)|, float64"
            ),
            "sse": exact(
                wrong[2] / wrong[0],
                1,
                "‖gradient of ½‖p − y‖²‖ over ‖p − y‖, p_y = 0.001 and sure of a wrong class",
            ),
            "accuracy": accuracy_gained(
                runs["skipped_softmax"], runs["cross_entropy"], "darknet's sse minus cross-entropy"
            ),
        }
        | {
            short: over_seeds(
                [_apart(*pair) for pair in pairs(runs[name], runs["cross_entropy"])],
                f"‖W − W'‖/‖W'‖ of the final weights of {name} and cross_entropy, float32",
            )
            for name, short in others.items()
        },
        drawings=figure(
            "skipped_softmax",
            "Left: the gradient of an example whose network is sure of one wrong class. “sse” "
            "lies on cross-entropy; squared error that goes back through softmax vanishes. Right: "
            "trained at one learning rate, mean over seeds and 95% interval.",
            Panel(
                title="Gradient in the logits",
                x_label="probability of the true class, p_y",
                y_label="length of the gradient",
                curves=[
                    Curve(label=name, x=shares.tolist(), y=sizes[name].tolist(), loss=loss)
                    for name, (_, _, loss) in losses.items()
                ],
                x_log=True,
                y_log=True,
            ),
            Panel(
                title="What is learned",
                x_label="epoch",
                y_label="validation accuracy (%)",
                curves=[
                    _accuracy("cross-entropy", runs["cross_entropy"], loss="cross_entropy"),
                    _accuracy("“sse” that skips softmax", runs["skipped_softmax"]),
                    _accuracy("‖p − y‖² through softmax", runs["brier"], loss="brier"),
                ],
                percent="whole",
            ),
        ),
    )


def _sizes(loss: Loss, shares: FloatArray, factor: float) -> FloatArray:
    """Return gradient norms where p_y is a share, one wrong class has most, eight have p_y each."""
    p_true = torch.from_numpy(shares)
    rest = p_true.clamp(max=0.01)[:, None].expand(-1, 8) * 1.0
    p = torch.cat([p_true[:, None], 1 - p_true[:, None] - rest.sum(1, keepdim=True), rest], dim=1)
    found = gradient(loss, p.log(), torch.zeros(len(p), dtype=torch.int64))
    sizes: FloatArray = factor * found.norm(dim=1).numpy()
    return sizes


def _apart(one: Run, other: Run) -> float:
    a, b = final_weights(one), final_weights(other)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def binary_accuracy(outputs: Tensor, labels: Tensor) -> float:
    """Return the share of all N·K outputs on the right side of ½, Keras's ``binary_accuracy``.

    >>> binary_accuracy(torch.zeros(1, 10), torch.tensor([3]))  # "no" to everything
    0.9
    """
    yes = one_hot(labels, outputs.shape[1]).bool()
    return ((outputs > 0.5) == yes).double().mean().item()


def binary(runs: Runs) -> Measurement:
    """Compare the accuracy that binary cross-entropy is reported with, and the accuracy.

    Args:
        runs: ``cross_entropy`` and ``binary``; for the figure ``mse_sigmoid_slow``, which guesses.

    Returns:
        ``always_no``: the binary accuracy of a network that says no to all of ten classes;
        ``ratio``: errors by binary accuracy over errors, both as shares, cross-entropy's
        predictions; ``reported``, ``accuracy``: cross-entropy's binary accuracy and accuracy;
        ``level``: the accuracy of binary cross-entropy, summed, minus that of cross-entropy.
    """
    found = {
        "cross-entropy, softmax": [
            (z.softmax(1), y) for z, y in map(predictions, runs["cross_entropy"])
        ],
        "binary cross-entropy, sigmoid": [
            (z.sigmoid(), y) for z, y in map(predictions, runs["binary"])
        ],
        "squared error after sigmoid, at its plateau": [
            (z.sigmoid(), y) for z, y in map(predictions, runs["mse_sigmoid_slow"])
        ],
    }
    points = {
        name: [((a.argmax(1) == y).double().mean().item(), binary_accuracy(a, y)) for a, y in each]
        for name, each in found.items()
    }
    mine = points["cross-entropy, softmax"]
    none = binary_accuracy(torch.zeros(10, 10), torch.arange(10))
    guesses = points.pop("squared error after sigmoid, at its plateau")
    return Measurement(
        quantities={
            "always_no": exact(none, 100, "share of 10 outputs that are right when all say no"),
            "ratio": over_seeds(
                [(1 - seen) / (1 - true) for true, seen in mine],
                "share of wrong outputs over share of wrong answers, cross-entropy's predictions",
            ),
            "reported": over_seeds([seen for _, seen in mine], "binary accuracy, cross-entropy"),
            "accuracy": over_seeds([true for true, _ in mine], "test accuracy, cross-entropy"),
            "level": accuracy_gained(
                runs["binary"], runs["cross_entropy"], "binary cross-entropy minus cross-entropy"
            ),
        },
        drawings=figure(
            "binary_accuracy",
            "Each point is a trained network: the accuracy that is shown beside binary "
            "cross-entropy counts each of the ten outputs, and a network that guesses has nine of "
            "them right.",
            _shown(
                "Networks that guess", {"squared error after sigmoid, rate 0.001": guesses}, 0.0
            ),
            _shown("Networks that have learned", points, 0.9),
        ),
    )


def _shown(title: str, points: dict[str, list[tuple[float, float]]], start: float) -> Panel:
    """Return binary accuracy against accuracy, from an accuracy of ``start``."""
    lines = {"two of ten outputs wrong for each error": (0.2, 0), "one wrong": (0.1, 1)}
    return Panel(
        title=title,
        x_label="accuracy (share): the largest output is right",
        y_label="binary accuracy (%): outputs on the right side of ½",
        curves=[
            *(
                Curve(
                    label=name,
                    x=[start, 1.0],
                    y=[1 - share * (1 - start), 1.0],
                    style=(QUIET._replace(line=":"), QUIET)[which],
                )
                for name, (share, which) in lines.items()
            ),
            *(
                Curve(label=name, x=[x for x, _ in at], y=[y for _, y in at], line=False)
                for name, at in points.items()
            ),
        ],
        percent="shown",
    )


def _accuracy(label: str, runs: list[Run], *, loss: str | None = None) -> Curve:
    return over_time(label, runs, "val/accuracy", loss=loss, over="epoch", bounds=SHARE)
