"""S4: entropy is greatest when all outcomes are equally likely, zero when one is certain."""

import torch

from losslab.figures import Curve, Drawing, Panel
from losslab.losses import information
from losslab.report.evidence import Measurement, Quantity
from losslab.seeding import generator
from losslab.study.identities.optimum import descend
from losslab.study.measure import Runs


def maximum(
    runs: Runs,  # noqa: ARG001
    *,
    num_classes: list[int],
    starts: int,
    seed: int,
) -> Measurement:
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
        for _ in range(starts):
            start = torch.randn(k, generator=draw, dtype=torch.float64)
            p = descend(lambda z: -information.entropy(z.softmax(0)), start).point.softmax(0)
            deviations.append((p - 1 / k).abs().max().item())
            if k == 2:
                coins.append(p[0].item())
    sizes = ", ".join(map(str, num_classes))
    n = len(deviations)
    return Measurement(
        quantities={
            "deviation": Quantity(
                value=max(deviations),
                n=n,
                what=f"largest |p_i − 1/K| at the maxima found by L-BFGS, K = {sizes}",
            ),
            "certain": Quantity(
                value=max(certain), n=sum(num_classes), what="largest H of one-hot p, nats"
            ),
        }
        | (
            {
                "coin": Quantity(
                    value=max(coins, key=lambda p: abs(p - 0.5)),
                    n=len(coins),
                    what="probability of heads at the coin's greatest entropy",
                )
            }
            if coins
            else {}
        ),
        drawings=[_coin(coins)],
    )


def _coin(maxima: list[float]) -> Drawing:
    heads = torch.linspace(0, 1, 101, dtype=torch.float64)
    bits = information.entropy(torch.stack([heads, 1 - heads], dim=1), unit="bits")
    found = torch.tensor([[p, 1 - p] for p in maxima], dtype=torch.float64).reshape(-1, 2)
    return Drawing(
        name="coin",
        caption="The entropy of a coin toss. The maximum was found by an optimiser from random "
        "starts, not put there.",
        panels=[
            Panel(
                title="The entropy of a coin",
                x_label="probability of heads",
                y_label="H, bits",
                curves=[
                    Curve(label="entropy H", x=heads.tolist(), y=bits.tolist()),
                    Curve(
                        label="maximum found",
                        x=maxima,
                        y=information.entropy(found, unit="bits").tolist(),
                        line=False,
                    ),
                ],
            )
        ],
    )
