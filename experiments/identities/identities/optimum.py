"""Where cross-entropy is lowest and entropy greatest (S2 and S4), found by an optimiser."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from identities import exact, figure
from losslab.figures import Curve, Drawing, Panel
from losslab.losses import CrossEntropy, information
from losslab.report.measurement import Measurement
from losslab.seeding import generator
from losslab.study.measure import Runs

_SMALLEST_DRAWN = 1e-16


class Descent(NamedTuple):
    """A way down.

    Attributes:
        point: ``(D,)`` float64 where it ended.
        values: The function at the start and after every iteration.
    """

    point: Tensor
    values: list[float]


def descend(function: Callable[[Tensor], Tensor], start: Tensor) -> Descent:
    """Minimise a smooth function by L-BFGS until its gradient vanishes.

    Args:
        function: From ``(D,)`` float64 to ``()``.
        start: ``(D,)`` float64.

    >>> bottom = descend(lambda x: (x - 3.0).square().sum(), torch.zeros(2, dtype=torch.float64))
    >>> [round(value, 6) for value in bottom.point.tolist()]
    [3.0, 3.0]
    """
    from scipy.optimize import minimize  # slow to import, and most commands do without

    def value_and_gradient(x: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        point = torch.tensor(x, requires_grad=True)
        value = function(point)
        (gradient,) = torch.autograd.grad(value, point)
        return value.item(), gradient.numpy()

    values = [function(start).item()]
    found = minimize(
        value_and_gradient,
        start.numpy(),
        jac=True,
        method="L-BFGS-B",
        callback=lambda x: values.append(function(torch.tensor(x)).item()),
        options={"maxiter": 5000, "maxfun": 20000, "ftol": 0.0, "gtol": 1e-11},
    )
    return Descent(torch.tensor(found.x), values)


def random_distributions(count: int, num_classes: int, *, generator: torch.Generator) -> Tensor:
    """Draw ``(count, K)`` float64 distributions: softmax of normal numbers of deviation 2."""
    logits = torch.randn(count, num_classes, generator=generator, dtype=torch.float64)
    return (2.0 * logits).softmax(1)


def cross_entropy(_: Runs, *, num_classes: list[int], targets: int, seed: int) -> Measurement:
    """Minimise H(p, softmax(z)) over the logits z, for random soft p and for one-hot p.

    Args:
        num_classes: Values of K.
        targets: Random soft targets for each K.
        seed: Of the targets and of the starting points.

    Returns:
        ``distance_soft`` and ``distance_one_hot``: the largest ``|q_i − p_i|`` where the search
        ended; ``height``: how far the lowest value is from H(p), in nats.
    """
    draw = generator(seed, "identities", "target")
    loss = CrossEntropy(reduction="sum")
    distances: dict[str, list[float]] = {"soft": [], "one_hot": []}
    heights: list[float] = []
    shown: dict[str, list[float]] = {}
    for k in num_classes:
        soft = random_distributions(targets, k, generator=draw)
        one_hot = torch.eye(k, dtype=torch.float64)[0]
        for kind, p in [*(("soft", row) for row in soft), ("one_hot", one_hot)]:
            start = torch.randn(k, generator=draw, dtype=torch.float64)
            way = descend(lambda z, p=p: loss(z[None], p[None]), start)  # type: ignore[misc]
            entropy = information.entropy(p).item()
            distances[kind].append((way.point.softmax(0) - p).abs().max().item())
            heights.append(abs(way.values[-1] - entropy))
            shown[kind] = [max(v - entropy, _SMALLEST_DRAWN) for v in way.values]
    sizes = ", ".join(map(str, num_classes))
    what = f"largest |q_i − p_i| where L-BFGS on the logits ended, K = {sizes}"
    return Measurement(
        quantities={
            f"distance_{kind}": exact(max(found), len(found), f"{what}; {kind.replace('_', '-')} p")
            for kind, found in distances.items()
        }
        | {"height": exact(max(heights), len(heights), "largest |lowest H(p, q) − H(p)| in nats")},
        drawings=figure(
            "target",
            "Cross-entropy is lowest where the prediction is the target, at the height of the "
            "target's entropy: zero for a one-hot target (left). An optimiser that knows only the "
            f"loss gets there (right, K = {num_classes[-1]}).",
            _coins(),
            Panel(
                title="Falling to the optimum",
                x_label="iteration",
                y_label="H(p, q) − H(p), nats",
                y_log=True,
                curves=[
                    Curve(label=label, x=list(map(float, range(len(shown[kind])))), y=shown[kind])
                    for kind, label in (("one_hot", "one-hot p"), ("soft", "soft p"))
                ],
            ),
        ),
    )


def _coins() -> Panel:
    heads = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    q = torch.stack([heads, 1 - heads], dim=1)
    curves = []
    for p in (1.0, 0.7, 0.5):
        values = information.cross_entropy(torch.tensor([p, 1 - p], dtype=torch.float64), q)
        curves.append(Curve(label=f"p = ({p:g}, {1 - p:g})", x=heads.tolist(), y=values.tolist()))
    return Panel(
        title="Lowest at q = p",
        x_label="predicted probability q of heads",
        y_label="H(p, q), nats",
        curves=curves,
    )


def entropy(_: Runs, *, num_classes: list[int], starts: int, seed: int) -> Measurement:
    """Maximise H(softmax(z)) over z from random starts, for each K; evaluate certainty.

    Returns:
        ``deviation``: the largest ``|p_i − 1/K|`` at the maxima found; ``coin``: the p of heads at
        the coin's maximum that is farthest from a half; ``certain``: the largest H of a certain
        outcome.
    """
    draw = generator(seed, "identities", "entropy")
    deviations, coins, certain = [], [], []
    for k in num_classes:
        certain.append(information.entropy(torch.eye(k, dtype=torch.float64)).abs().max().item())
        for _start in range(starts):
            start = torch.randn(k, generator=draw, dtype=torch.float64)
            p = descend(lambda z: -information.entropy(z.softmax(0)), start).point.softmax(0)
            deviations.append((p - 1 / k).abs().max().item())
            if k == 2:
                coins.append(p[0].item())
    sizes = ", ".join(map(str, num_classes))
    quantities = {
        "deviation": exact(
            max(deviations),
            len(deviations),
            f"largest |p_i − 1/K| at the maxima found by L-BFGS, K = {sizes}",
        ),
        "certain": exact(max(certain), sum(num_classes), "largest H of one-hot p, nats"),
    }
    if coins:
        farthest = max(coins, key=lambda p: abs(p - 0.5))
        what = "probability of heads at the coin's greatest entropy"
        quantities["coin"] = exact(farthest, len(coins), what)
    return Measurement(quantities=quantities, drawings=_coin(coins))


def _coin(maxima: list[float]) -> list[Drawing]:
    def curve(label: str, heads: Tensor, *, line: bool = True) -> Curve:
        bits = information.entropy(torch.stack([heads, 1 - heads], dim=1), unit="bits")
        return Curve(label=label, x=heads.tolist(), y=bits.tolist(), line=line)

    return figure(
        "coin",
        "The entropy of a coin toss. The maximum was found by an optimiser from random starts, not "
        "put there.",
        Panel(
            title="The entropy of a coin",
            x_label="probability of heads",
            y_label="H, bits",
            curves=[
                curve("entropy H", torch.linspace(0, 1, 101, dtype=torch.float64)),
                curve("maximum found", torch.tensor(maxima, dtype=torch.float64), line=False),
            ],
        ),
    )
