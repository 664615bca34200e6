"""S9: softmax forgets a shift, products of likelihoods underflow, logarithms do not."""

import math

import torch
from torch import Tensor

from losslab.data import BatchLoader
from losslab.losses import CrossEntropy
from losslab.report.evidence import Curve, Drawing, Measurement, Panel, Quantity, TableOfNumbers
from losslab.seeding import generator
from losslab.study.measure import Runs
from losslab.study.reading import predictions, untrained

_SINGLE, _DOUBLE = torch.float32, torch.float64


def shift(runs: Runs, *, largest: float, seed: int) -> Measurement:
    """Add a constant to all logits of a picture; its loss and gradient must not notice.

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
    loss = CrossEntropy(reduction="none")
    change = (loss(logits + constants, labels) - loss(logits, labels)).abs().max().item()
    what = f"largest |H(z + c) − H(z)| on test logits, |c| ≤ {largest:g}, float64, nats"
    return Measurement(quantities={"change": Quantity(value=change, n=len(labels), what=what)})


def underflow(runs: Runs) -> Measurement:
    """Multiply likelihoods of real pictures one after another until the product is zero.

    The network has its initial weights, as when the likelihood is first needed, or is trained.

    Args:
        runs: ``cross_entropy``.

    Returns:
        ``single`` and ``double``: the number of pictures at which the product of an untrained
        network's likelihoods is zero in float32 and in float64; ``logarithm``: the sum of the
        logarithms in float32 over all pictures, divided by their number.
    """
    point = runs["cross_entropy"][0]
    dataset, model = untrained(point)
    loader = BatchLoader(dataset.test, batch_size=1000, mean=dataset.mean, std=dataset.std)
    with torch.inference_mode():
        logits = torch.cat([model(batch.images) for batch in loader.in_order()])
    loss = CrossEntropy(reduction="none")
    before = -loss(logits.double(), dataset.test.labels)
    trained, labels = predictions(point)
    after = -loss(trained, labels)
    counts = {
        (when, kind): first_zero(logs, kind)
        for when, logs in (("before", before), ("after", after))
        for kind in (_SINGLE, _DOUBLE)
    }
    quantities = {
        name: Quantity(
            value=float(count),
            n=1,
            what=f"pictures after which the product of likelihoods is 0, untrained, {precision}",
        )
        for name, kind, precision in (
            ("single", _SINGLE, "float32"),
            ("double", _DOUBLE, "float64"),
        )
        if (count := counts["before", kind]) is not None
    }
    total = before.float().sum().item()
    quantities["logarithm"] = Quantity(
        value=total / len(before),
        n=len(before),
        what="mean log-likelihood of all test pictures, summed in float32, untrained, nats",
    )
    return Measurement(
        quantities=quantities,
        drawings=[
            Drawing(
                name="underflow",
                caption="The likelihoods of real pictures: their product, multiplied out, is zero "
                "from the marked places on, in float32 and in float64; the sum of their "
                "logarithms goes on.",
                panels=[
                    _underflow_panel("Before training", before[:400]),
                    _underflow_panel("After training", after),
                ],
            )
        ],
        tables=[
            TableOfNumbers(
                title="Pictures after which the product of likelihoods is zero",
                columns=["network", "float32", "float64"],
                rows=[
                    [
                        when,
                        *(_count(counts[when, kind], len(before)) for kind in (_SINGLE, _DOUBLE)),
                    ]
                    for when in ("before", "after")
                ],
            )
        ],
    )


def first_zero(logs: Tensor, kind: torch.dtype) -> int | None:
    """Return after how many factors ``exp(logs)`` a product in ``kind`` is 0, ``None`` if never.

    >>> first_zero(torch.full((50,), math.log(0.1), dtype=torch.float64), torch.float32)
    46
    """
    zero = (logs.exp().to(kind).cumprod(0) == 0).nonzero()
    return None if len(zero) == 0 else int(zero[0]) + 1


def _count(count: int | None, examples: int) -> str:
    return f"not within {examples}" if count is None else str(count)


def _underflow_panel(title: str, logs: Tensor) -> Panel:
    total = logs.cumsum(0) / math.log(10)
    curves = [
        Curve(
            label="sum of logarithms",
            x=[float(i + 1) for i in range(len(logs))],
            y=total.tolist(),
        )
    ]
    for label, kind in (("float64", _DOUBLE), ("float32", _SINGLE)):
        zero = first_zero(logs, kind)
        if zero is not None:
            end = Curve(label=f"product is 0, {label}", x=[float(zero)], y=[total[zero - 1].item()])
            curves.append(end)
    return Panel(title=title, x_label="pictures", y_label="log10 of the likelihood", curves=curves)
