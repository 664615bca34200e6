"""S9: softmax forgets a shift, products of likelihoods underflow, logarithms do not."""

import math
from itertools import product

import torch
from torch import Tensor

from losslab.data import BatchLoader
from losslab.figures import Curve, Drawing, Panel
from losslab.losses import CrossEntropy
from losslab.report.evidence import Measurement, Quantity, TableOfNumbers
from losslab.seeding import generator
from losslab.study.measure import Runs
from losslab.study.over_seeds import over_seeds
from losslab.study.points import Point
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

    The networks have their initial weights, as when the likelihood is first needed, or are trained.

    Args:
        runs: ``scores_softmax``, one network a seed.

    Returns:
        ``single`` and ``double``: the number of pictures at which the product of an untrained
        network's likelihoods is zero in float32 and in float64, infinity if it never is;
        ``logarithm``: the sum of the logarithms over all pictures in float32; means over seeds.
    """
    points = runs["scores_softmax"]
    before = [_before(point) for point in points]
    after = [-_LOSS(*predictions(point)) for point in points]
    counts = {
        (when, kind): [first_zero(logs, kind) for logs in of_seeds]
        for when, of_seeds in (("before", before), ("after", after))
        for kind in (_SINGLE, _DOUBLE)
    }
    n = len(before[0])
    zero = "pictures after which the product of likelihoods is 0, untrained networks"
    return Measurement(
        quantities={
            "single": over_seeds(counts["before", _SINGLE], f"{zero}, float32"),
            "double": over_seeds(counts["before", _DOUBLE], f"{zero}, float64"),
            "logarithm": over_seeds(
                [logs.float().sum().item() for logs in before],
                f"sum of the log-likelihoods of {n} pictures in float32, untrained networks, nats",
            ),
        },
        drawings=[
            Drawing(
                name="underflow",
                caption="The likelihoods of real pictures: their product, multiplied out, is zero "
                "from the marks on, in float32 and in float64; the sum of their logarithms goes "
                "on. One seed.",
                panels=[
                    _panel("Before training", before[0][:400]),
                    _panel("After training", after[0]),
                ],
            )
        ],
        tables=[
            TableOfNumbers(
                title=f"Pictures, of {n}, after which the product of likelihoods is zero",
                columns=["seed", *(f"{network}, {kind}" for network, kind in _COLUMNS)],
                rows=[
                    [
                        f"{point.seed}",
                        *(_count(of_kind[index]) for of_kind in counts.values()),
                    ]
                    for index, point in enumerate(points)
                ],
            )
        ],
    )


_LOSS = CrossEntropy(reduction="none")
_COLUMNS = tuple(product(("untrained", "trained"), ("float32", "float64")))


def _before(point: Point) -> Tensor:
    """Return ``(N,)`` log-likelihoods of the test pictures under the initial weights."""
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
    zero = (logs.exp().to(kind).cumprod(0) == 0).nonzero()
    return math.inf if len(zero) == 0 else float(zero[0]) + 1


def _count(count: float) -> str:
    return "never" if math.isinf(count) else f"{count:g}"


def _panel(title: str, logs: Tensor) -> Panel:
    total = (logs.cumsum(0) / math.log(10)).tolist()
    curves = [Curve(label="sum of logarithms", x=[float(i + 1) for i in range(len(logs))], y=total)]
    for label, kind in (("float32", _SINGLE), ("float64", _DOUBLE)):
        zero = first_zero(logs, kind)
        if not math.isinf(zero):
            curves.append(
                Curve(
                    label=f"product is 0, {label}", x=[zero], y=[total[int(zero) - 1]], line=False
                )
            )
    return Panel(title=title, x_label="pictures", y_label="log10 of the likelihood", curves=curves)
