"""Formulas read wrongly: class weights and the mean, convexity, weight decay, labels from 1."""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import optimize, stats
from torch import Tensor, nn

from common_mistakes import exact, figure, level
from losslab import losses
from losslab.data import load
from losslab.figures import Curve, Panel
from losslab.losses import MAP, CrossEntropy, FlatPrior, GaussianPrior, Loss, SquaredError
from losslab.models import Linear
from losslab.report.measurement import Measurement
from losslab.seeding import generator
from losslab.study.measure import Runs, over_seeds, predictions
from losslab.training import fit


def class_weights(_: Runs, *, share: float, weight: float, batch_size: int) -> Measurement:
    """Compute what a class weight weighs when a batch's mean is divided by its weights.

    Args:
        _: No runs.
        share: Of the examples that are of the rare class.
        weight: Of that class; the others have 1.
        batch_size: B.

    Returns:
        ``thread``: the weighted mean of the thread's two examples; ``alone``: the largest change
        by the weights in batches of one; ``asked``, ``got``: the share of the loss that the weights
        give to the rare class in the data set and, on average, in batches of B.
    """
    scores = torch.tensor([[0.2, 0.3, 0.5], [0.5, 0.2, 0.3]], dtype=torch.float64)
    weights, labels = torch.tensor([2.0, 4.0, 6.0], dtype=torch.float64), torch.tensor([2, 1])
    weighted = nn.CrossEntropyLoss(weight=weights)
    alone = [
        abs(weighted(z[None], y[None]) - CrossEntropy()(z[None], y[None])).item()
        for z, y in zip(scores, labels, strict=True)
    ]
    asked, got = (
        weight * share / (weight * share + 1 - share),
        rare_share(share, weight, batch_size),
    )
    sizes = [2**power for power in range(13)]
    cases = {(share, weight), (0.1, 9.0)}
    return Measurement(
        quantities={
            "thread": exact(
                weighted(scores, labels).item(), 2, "weighted mean of the thread's batch"
            ),
            "alone": exact(
                max(alone), 2, "largest change by class weights in a batch of one, nats"
            ),
            "asked": exact(asked, 1, f"share of the loss for {share:.0%} of examples × {weight:g}"),
            "got": exact(
                got, batch_size + 1, f"its mean over batches of {batch_size}, each divided by Σ w"
            ),
        },
        drawings=figure(
            "class_weights",
            "The share of the loss that class weights give to a rare class, when each batch is "
            "divided by the sum of its own weights (points) and in the data set (line).",
            Panel(
                title="Small batches undo class weights",
                x_label="batch size",
                y_label="share of the loss, rare class (%)",
                curves=[
                    *(
                        Curve(
                            label=f"{s:.0%} of examples, weight {w:g}",
                            x=[float(size) for size in sizes],
                            y=[rare_share(s, w, size) for size in sizes],
                        )
                        for s, w in sorted(cases)
                    ),
                    level("as asked: half", 0.5, sizes),
                ],
                x_log=True,
                percent="whole",
            ),
        ),
    )


def rare_share(share: float, weight: float, batch_size: int) -> float:
    """Return E[w r/(w r + B − r)], r binomial: the rare class's mean share of a batch's weight.

    >>> rare_share(0.01, 100.0, 1)  # alone in its batch an example has all the weight, whatever w
    0.01
    """
    r = np.arange(batch_size + 1)
    chance = stats.binom.pmf(r, batch_size, share)
    return float((chance * weight * r / (weight * r + batch_size - r)).sum())


# One weight w, three examples (x, y), y the true side of sigmoid(w x).
POINTS = ((1.0, 1), (10.0, 0), (0.1, 0))


def convexity(_: Runs, *, start: float, count: int, seed: int) -> Measurement:
    """Look for valleys of squared error and cross-entropy, in the logits and in one weight.

    Args:
        _: No runs.
        start: The weight from which gradient descent sets out.
        count: Random logits of ten classes.
        seed: Of them.

    Returns:
        ``raw``: the smallest eigenvalue of the logit Hessian of squared error on raw outputs;
        ``turn``: p_y where the curvature of squared error after softmax changes its sign, two
        classes; ``squared_minima``, ``cross_entropy_minima``: minima over one weight, three points;
        ``left``: how far above its lowest value squared error ends, descending from ``start``.
    """
    draw = generator(seed, "common_mistakes", "convexity")
    logits = 3 * torch.randn(count, 10, generator=draw, dtype=torch.float64)
    raw = min(_smallest_eigenvalue(SquaredError("none"), z) for z in logits)
    turn = optimize.brentq(_curvature, 0.05, 0.6)
    w = torch.linspace(-6, 16, 2201, dtype=torch.float64)
    surfaces = {
        "squared": ("squared error after sigmoid", SquaredError("softmax"), "mse_sigmoid"),
        "cross_entropy": ("cross-entropy", CrossEntropy(), "cross_entropy"),
    }
    heights = {name: _height(loss, w) for name, (_, loss, _) in surfaces.items()}
    ends = {name: descend(loss, start) for name, (_, loss, _) in surfaces.items()}
    stopped = _height(SquaredError("softmax"), torch.tensor([ends["squared"]]))
    where, near = "one weight, three points", (w >= -4) & (w <= 8)
    return Measurement(
        quantities={
            "raw": exact(
                raw, count, "smallest eigenvalue of its logit Hessian, raw outputs, K = 10"
            ),
            "turn": exact(
                float(turn), 1, "p_y where the second derivative in the logits is 0, K = 2"
            ),
            "squared_minima": exact(
                float(_minima(heights["squared"])), len(w), f"minima of squared error, {where}"
            ),
            "cross_entropy_minima": exact(
                float(_minima(heights["cross_entropy"])),
                len(w),
                f"minima of cross-entropy, {where}",
            ),
            "left": exact(
                (stopped - heights["squared"].min()).item(),
                1,
                f"squared error where descent from w = {start:g} ends less its lowest, {where}",
            ),
        },
        drawings=figure(
            "two_valleys",
            "Three examples, one weight: x = 1, 10 and 0.1 with y = 1, 0 and 0. Gradient descent "
            f"from w = {start:g} ends at the ring: in the wrong valley of squared error, in the "
            "only one of cross-entropy.",
            *(
                Panel(
                    title=title[0].upper() + title[1:],
                    x_label="weight w",
                    y_label="mean loss",
                    curves=[
                        Curve(
                            label="", x=w[near].tolist(), y=heights[name][near].tolist(), loss=loss
                        ),
                        Curve(
                            label=f"where descent from w = {start:g} ends",
                            x=[ends[name]],
                            y=_height(surfaces[name][1], torch.tensor([ends[name]])).tolist(),
                            ring=ends[name],
                            line=False,
                        ),
                    ],
                )
                for name, (title, _, loss) in surfaces.items()
            ),
        ),
    )


def _smallest_eigenvalue(loss: Loss, z: Tensor) -> float:
    label = torch.tensor([0])
    # Not torch.func.hessian: its forward mode warns of what torch itself has deprecated.
    hessian = torch.func.jacrev(torch.func.jacrev(lambda z: loss(z[None], label)))(z)
    return float(torch.linalg.eigvalsh(hessian)[0])


def _curvature(share: float) -> float:
    """Return the second derivative of ‖p − y‖² in the lead of the true class, at p_y."""
    loss, label = SquaredError("softmax", "sum"), torch.tensor([0])

    def of_lead(lead: Tensor) -> Tensor:
        value: Tensor = loss(torch.stack([lead, torch.zeros_like(lead)])[None], label)
        return value

    lead = torch.tensor(math.log(share / (1 - share)), dtype=torch.float64)
    return float(torch.func.grad(torch.func.grad(of_lead))(lead))


def _height(loss: Loss, w: Tensor) -> Tensor:
    """Return the mean loss over the points at each weight, ``(V,)``."""
    x = torch.tensor([x for x, _ in POINTS], dtype=torch.float64)
    y = torch.tensor([y for _, y in POINTS]).repeat(len(w))
    scores = torch.outer(w.double(), x).flatten()
    z = torch.stack([torch.zeros_like(scores), scores], dim=1)
    return loss.per_example(z, y).view(len(w), len(x)).mean(dim=1)


def _minima(height: Tensor) -> int:
    inner = height[1:-1]
    return int(((inner < height[:-2]) & (inner < height[2:])).sum())


def descend(loss: Loss, start: float, *, rate: float = 0.2, steps: int = 1000) -> float:
    """Return the weight at which gradient descent with momentum on the three points ends."""
    w = torch.tensor([start], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=rate, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(_height(loss, w).sum())
        optimizer.step()
    return w.item()


def prior(
    _: Runs, *, std: float, examples: int, batch_size: int, steps: int, seed: int
) -> Measurement:
    """Compare where weight decay ends with the peak of the posterior under a Gaussian prior.

    One weight, logistic regression, all examples in each step, float64.

    Args:
        _: No runs.
        std: σ of the prior.
        examples: N.
        batch_size: What is taken for N by mistake.
        steps: Updates, down to a rate of 0.
        seed: Of the examples.

    Returns:
        ``sgd``, ``adam``, ``adamw``: how far from the peak each ends with weight decay 1/(σ²N);
        ``batch``: likewise SGD with 1/(σ²B), relative to the peak's weight.
    """
    draw = generator(seed, "common_mistakes", "prior")
    x = torch.randn(examples, generator=draw, dtype=torch.float64)
    y = (torch.rand(examples, generator=draw, dtype=torch.float64) < (3 * x).sigmoid()).long()
    flat = MAP(CrossEntropy(), FlatPrior(), examples)
    full = MAP(CrossEntropy(), GaussianPrior(std), examples)

    def height(objective: MAP, w: Tensor) -> Tensor:
        z = torch.stack([torch.zeros_like(x), x * w], dim=1)
        value: Tensor = objective(z, y, [w])
        return value

    def at(value: float, objective: MAP) -> float:
        return height(objective, torch.tensor(value, dtype=torch.float64)).item()

    found = optimize.minimize_scalar(
        lambda value: at(value, full), bounds=(-10, 10), method="bounded", options={"xatol": 1e-10}
    )
    peak, decay = float(found.x), 1 / (std**2 * examples)

    def end(make: Callable[..., torch.optim.Optimizer], decay: float, rate: float) -> float:
        w = torch.zeros((), dtype=torch.float64, requires_grad=True)
        optimizer = make([w], lr=rate, weight_decay=decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            optimizer.zero_grad()
            torch.autograd.backward(height(flat, w))
            optimizer.step()
            schedule.step()
        return w.item()

    ends = {
        "sgd": ("SGD", end(torch.optim.SGD, decay, 5.0)),
        "adam": ("Adam", end(torch.optim.Adam, decay, 0.1)),
        "adamw": ("AdamW", end(torch.optim.AdamW, decay, 0.1)),
        "batch": (
            f"SGD, batch size {batch_size} for N",
            end(torch.optim.SGD, 1 / (std**2 * batch_size), 5.0),
        ),
    }
    grid = np.linspace(0.0, 6.0, 121).tolist()
    curves = {
        "−log likelihood": [at(w, flat) for w in grid],
        "−log likelihood − log prior (MAP)": [at(w, full) for w in grid],
    }
    return Measurement(
        quantities={
            name: exact(
                abs(w - peak) / abs(peak), 1, f"|w − w_MAP|/w_MAP, weight decay, {label}, float64"
            )
            for name, (label, w) in ends.items()
        },
        drawings=figure(
            "weight_decay_is_a_prior",
            f"One weight, {examples} examples, prior of width {std:g}: where {steps} steps end. "
            "SGD and Adam end at the lowest point of −log likelihood − log prior.",
            Panel(
                title="Weight decay and the peak of the posterior",
                x_label="weight w",
                y_label="mean loss over the examples (nats)",
                curves=[
                    *(Curve(label=label, x=grid, y=values) for label, values in curves.items()),
                    *(
                        Curve(label=label, x=[w], y=[at(w, full)], line=False)
                        for label, w in (
                            ("SGD and Adam", ends["sgd"][1]),
                            ends["adamw"],
                            ends["batch"],
                        )
                    ),
                ],
            ),
        ),
    )


def labels(runs: Runs, *, seeds: list[int], epochs: int, batch_size: int) -> Measurement:
    """Count what labels from 1 to K do: silence, refusal, accuracy below chance.

    Args:
        runs: ``cross_entropy``, for its test predictions.
        seeds: Of linear models that are trained here with one output too many.
        epochs: Of those.
        batch_size: Of a first batch that may hold no example of the last class.

    Returns:
        ``silent_10``, ``silent_1000``: the chance that no label of a batch is out of range;
        ``refused``: the share of the library's losses that name the range in an error;
        ``below_chance``: the accuracy of trained networks against labels from 1; ``extra``: the
        accuracy of K + 1 outputs on labels from 1 minus that of K outputs on labels from 0.
    """
    sizes = [2, 3, 5, 10, 20, 50, 100, 200, 500, 1000]
    refused = [_refuses(loss) for loss in _of_labels()]
    shifted = []
    for run in runs["cross_entropy"]:
        logits, truth = predictions(run)
        shifted.append((logits.argmax(1) == truth + 1).double().mean().item())
    return Measurement(
        quantities={
            f"silent_{k}": exact(
                silent(k, batch_size), 1, f"chance that a batch of {batch_size} has no label {k}"
            )
            for k in (10, 1000)
        }
        | {
            "refused": exact(
                float(np.mean(refused)), len(refused), "share of losses that name the range, 0…9"
            ),
            "below_chance": over_seeds(
                shifted, "share of test images whose predicted class is the label + 1"
            ),
            "extra": over_seeds(
                [_trained(seed, epochs, 1) - _trained(seed, epochs, 0) for seed in seeds],
                "test accuracy of 11 outputs on labels from 1 less 10 on labels from 0, linear",
            ),
        },
        drawings=figure(
            "labels_from_one",
            "Labels 1…K for K outputs: an error comes only with the first batch that holds an "
            "example of the last class. Classes equally frequent.",
            Panel(
                title="Chance that the first batch raises no error",
                x_label="classes K",
                y_label="chance (%)",
                curves=[
                    Curve(
                        label=f"batch of {size}",
                        x=[float(k) for k in sizes],
                        y=[silent(k, size) for k in sizes],
                    )
                    for size in (16, 64, 256)
                ],
                x_log=True,
                percent="whole",
            ),
        ),
    )


def silent(num_classes: int, batch_size: int) -> float:
    """Return the chance that none of B labels, drawn evenly from 1 to K, is K.

    >>> silent(2, 3)
    0.125
    """
    return float((1 - 1 / num_classes) ** batch_size)


def _of_labels() -> list[Loss]:
    classes = [getattr(losses, name) for name in losses.__all__]
    own = [c for c in classes if isinstance(c, type) and issubclass(c, Loss) and c is not Loss]
    return [c() for c in own]


def _refuses(loss: Loss) -> bool:
    try:
        loss(torch.zeros(10, 10), torch.arange(1, 11))
    except ValueError as error:
        return "allowed are 0…9" in str(error)
    return False


def _trained(seed: int, epochs: int, first_label: int) -> float:
    """Return the test accuracy of a linear model whose labels begin at 0 or 1."""
    data = load("mnist5k")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Linear((1, 28, 28), 10 + first_label)
    images, truth = data.tensors("train")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    fit(model, CrossEntropy(), optimizer, train=(images, truth + first_label), epochs=epochs)
    images, truth = data.tensors("test")
    with torch.inference_mode():
        return float((model(images).argmax(1) == truth + first_label).double().mean())
