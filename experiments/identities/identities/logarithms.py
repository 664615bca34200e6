"""Why logarithms (S9 in science.md): products of likelihoods underflow."""

import math
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from identities import exact, figure
from losslab.data import BatchLoader
from losslab.figures import Curve, Panel
from losslab.losses import CrossEntropy
from losslab.recording import Run
from losslab.report.measurement import Measurement, TableOfNumbers
from losslab.seeding import generator
from losslab.study.measure import Runs, over_seeds, predictions, untrained

_FLOATS = {"float32": torch.float32, "float64": torch.float64}
_PRECISIONS = {"single": torch.float32, "double": torch.float64}
_LOSS = CrossEntropy(reduction="none")


def shift(runs: Runs, *, largest: float, seed: int) -> Measurement:
    """Add a constant to all logits of an image; its loss and gradient must not notice.

    Args:
        runs: ``cross_entropy``, for its test logits.
        largest: The constants are drawn from −largest to largest.
        seed: Of the constants.

    Returns:
        ``change``: the largest change of a cross-entropy, in nats.
    """
    logits, labels = predictions(runs["cross_entropy"][0])
    draw = generator(seed, "identities", "shift")
    constants = largest * (2 * torch.rand(len(labels), 1, generator=draw, dtype=logits.dtype) - 1)
    change = (_LOSS(logits + constants, labels) - _LOSS(logits, labels)).abs().max().item()
    what = f"largest |H(z + c) − H(z)| on test logits, |c| ≤ {largest:g}, float64, nats"
    return Measurement(quantities={"change": exact(change, len(labels), what)})


def underflow(runs: Runs) -> Measurement:
    """Multiply likelihoods of real images one after another until the product is zero.

    The networks have their initial weights, as when the likelihood is first needed, or are trained.

    Args:
        runs: ``scores_softmax``, one network a seed.

    Returns:
        ``single`` and ``double``: the number of images at which the product of an untrained
        network's likelihoods is zero in float32 and in float64, infinity if it never is;
        ``logarithm``: the sum of the logarithms over all images in float32; means over seeds.
    """
    points = runs["scores_softmax"]
    networks = {
        "untrained": [_before_training(point) for point in points],
        "trained": [-_LOSS(*predictions(point)) for point in points],
    }
    untrained, n = networks["untrained"], len(networks["untrained"][0])
    zero = "images after which the product of likelihoods is 0, untrained networks"
    columns = list(product(networks, _FLOATS))
    rows = [
        [
            f"{point.seed}",
            *(_count(first_zero(networks[when][seed], _FLOATS[kind])) for when, kind in columns),
        ]
        for seed, point in enumerate(points)
    ]
    return Measurement(
        quantities={
            name: over_seeds([first_zero(logs, kind) for logs in untrained], f"{zero}, {label}")
            for (name, kind), label in zip(_PRECISIONS.items(), _FLOATS, strict=True)
        }
        | {
            "logarithm": over_seeds(
                [logs.float().sum().item() for logs in untrained],
                f"sum of the log-likelihoods of {n} images in float32, untrained networks, nats",
            )
        },
        drawings=figure(
            "underflow",
            "The likelihoods of real images: their product, multiplied out, is zero from the "
            "marks on, in float32 and in float64; the sum of their logarithms goes on. One seed.",
            _panel("Before training", untrained[0][:400]),
            _panel("After training", networks["trained"][0]),
        ),
        tables=[
            TableOfNumbers(
                title=f"Images, of {n}, after which the product of likelihoods is zero",
                columns=["seed", *(f"{when}, {kind}" for when, kind in columns)],
                rows=rows,
            )
        ],
    )


def _before_training(point: Run) -> Tensor:
    """Return ``(N,)`` log-likelihoods of the test images under the initial weights."""
    dataset, model = untrained(point)
    loader = BatchLoader(dataset.test, batch_size=1000, mean=dataset.mean, std=dataset.std)
    with torch.inference_mode():
        logits = torch.cat([model(batch.images) for batch in loader.in_order()])
    logs: Tensor = -_LOSS(logits.double(), dataset.test.labels)
    return logs


def first_zero(logs: Tensor, kind: torch.dtype) -> float:
    """Return after how many factors ``exp(logs)`` a product in ``kind`` is 0, ∞ if it never is.

    >>> first_zero(torch.full((50,), math.log(0.1), dtype=torch.float64), torch.float32)
    46.0
    """
    return _first(logs.exp().to(kind).cumprod(0) == 0)


def _first(true: Tensor) -> float:
    places = true.nonzero()
    return math.inf if len(places) == 0 else float(places[0]) + 1


def _count(count: float) -> str:
    return "never" if math.isinf(count) else f"{count:g}"


def _panel(title: str, logs: Tensor) -> Panel:
    total = (logs.cumsum(0) / math.log(10)).tolist()
    curves = [Curve(label="sum of logarithms", x=[float(i + 1) for i in range(len(logs))], y=total)]
    for label, kind in _FLOATS.items():
        zero = first_zero(logs, kind)
        if not math.isinf(zero):
            y = [total[int(zero) - 1]]
            curves.append(Curve(label=f"product is 0, {label}", x=[zero], y=y, line=False))
    return Panel(title=title, x_label="images", y_label="log10 of the likelihood", curves=curves)


def first_failure(_: Runs, *, largest_gap: int) -> Measurement:
    """Raise one wrong logit until −log q_y is infinite or NaN, in float32 and float64.

    Logits (g, 0), the second class is the true one, g = 1, 2, ...; the right answer is about g.

    Args:
        largest_gap: The largest g.

    Returns:
        ``naive_single``, ``naive_double``: the first g at which exp(z)/Σ exp(z), then the
        logarithm, fails, infinity if none does; ``log_of_softmax_single``,
        ``log_of_softmax_double``: likewise for the logarithm of a softmax that is itself computed
        safely; ``safe_failures``: how many g fail for cross-entropy as the library computes it: not
        finite, or off by more than a millionth, or a gradient that is not finite, in both types.
    """
    ways: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
        "naive": ("log(exp(z_y)/Σ exp(z))", lambda z: z.exp() / z.exp().sum(1, keepdim=True)),
        "log_of_softmax": (
            "log(softmax(z)_y), softmax shifted by the maximum",
            lambda z: z.softmax(1),
        ),
    }
    gaps = torch.arange(1, largest_gap + 1)
    exact_values = gaps.double() + torch.log1p(torch.exp(-gaps.double()))
    quantities, failures = {}, 0
    for precision, kind in _PRECISIONS.items():
        logits = torch.stack([gaps, torch.zeros_like(gaps)], dim=1).to(kind)
        for name, (text, softmax) in ways.items():
            quantities[f"{name}_{precision}"] = exact(
                _first(~softmax(logits)[:, 1].log().isfinite()),
                1,
                f"first gap of the logits at which {text} is infinite or NaN, "
                f"{precision} precision",
            )
        values = _LOSS(logits.requires_grad_(), torch.ones_like(gaps))
        (gradient,) = torch.autograd.grad(values.sum(), logits)
        right = (values.double() - exact_values).abs() <= 1e-6 * exact_values
        failures += int((~(right & gradient.isfinite().all(1))).sum())
    rows = [
        [text, *(f"{quantities[f'{name}_{precision}'].value:g}" for precision in _PRECISIONS)]
        for name, (text, _softmax) in ways.items()
    ]
    what = f"gaps up to {largest_gap} at which cross-entropy is wrong or its gradient not finite"
    return Measurement(
        quantities=quantities | {"safe_failures": exact(float(failures), 2 * largest_gap, what)},
        tables=[
            TableOfNumbers(
                title="First gap of the logits at which −log q_y is infinite or NaN",
                columns=["computed as", *_FLOATS],
                rows=rows,
            )
        ],
    )
