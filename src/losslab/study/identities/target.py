"""S2: where cross-entropy is lowest."""

import torch
from torch import Tensor

from losslab.figures import Curve, Drawing, Panel
from losslab.losses import CrossEntropy, information
from losslab.report.evidence import Measurement, Quantity
from losslab.seeding import generator
from losslab.study.identities.optimum import Descent, descend, random_distributions
from losslab.study.measure import Runs

_SMALLEST_DRAWN = 1e-16


def minimum(
    runs: Runs,  # noqa: ARG001
    *,
    num_classes: list[int],
    targets: int,
    seed: int,
) -> Measurement:
    """Minimise H(p, softmax(z)) over the logits z, for random soft p and for one-hot p.

    Args:
        runs: None are needed.
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
    shown: dict[str, Descent] = {}

    def search(p: Tensor) -> Descent:
        start = torch.randn(len(p), generator=draw, dtype=torch.float64)
        return descend(lambda z: loss(z.unsqueeze(0), p.unsqueeze(0)), start)

    for k in num_classes:
        soft = random_distributions(targets, k, generator=draw)
        one_hot = torch.eye(k, dtype=torch.float64)[:1]
        for kind, p in [*(("soft", row) for row in soft), ("one_hot", one_hot[0])]:
            way, entropy = search(p), information.entropy(p).item()
            distances[kind].append((way.point.softmax(0) - p).abs().max().item())
            heights.append(abs(way.values[-1] - entropy))
            shown[kind] = Descent(
                way.point, [max(v - entropy, _SMALLEST_DRAWN) for v in way.values]
            )
    sizes = ", ".join(map(str, num_classes))
    what = f"largest |q_i − p_i| where L-BFGS on the logits ended, K = {sizes}"
    return Measurement(
        quantities={
            "distance_soft": Quantity(
                value=max(distances["soft"]), n=len(distances["soft"]), what=f"{what}; soft p"
            ),
            "distance_one_hot": Quantity(
                value=max(distances["one_hot"]),
                n=len(distances["one_hot"]),
                what=f"{what}; one-hot p",
            ),
            "height": Quantity(
                value=max(heights), n=len(heights), what="largest |lowest H(p, q) − H(p)| in nats"
            ),
        },
        drawings=[
            Drawing(
                name="target",
                caption="Cross-entropy is lowest where the prediction is the target, at the "
                "height of the target's entropy: zero for a one-hot target (left). An optimiser "
                f"that knows only the loss gets there (right, K = {num_classes[-1]}).",
                panels=[
                    _coin_panel(),
                    Panel(
                        title="Falling to the optimum",
                        x_label="iteration",
                        y_label="H(p, q) − H(p), nats",
                        y_log=True,
                        curves=[
                            Curve(
                                label=label,
                                x=[float(i) for i in range(len(shown[kind].values))],
                                y=shown[kind].values,
                            )
                            for kind, label in (("one_hot", "one-hot p"), ("soft", "soft p"))
                        ],
                    ),
                ],
            )
        ],
    )


def _coin_panel() -> Panel:
    heads = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    q = torch.stack([heads, 1 - heads], dim=1)
    curves = []
    for p in (1.0, 0.7, 0.5):
        coin = torch.tensor([p, 1 - p], dtype=torch.float64)
        curves.append(
            Curve(
                label=f"p = ({p:g}, {1 - p:g})",
                x=heads.tolist(),
                y=information.cross_entropy(coin, q).tolist(),
            )
        )
    return Panel(
        title="Lowest at q = p",
        x_label="predicted probability q of heads",
        y_label="H(p, q), nats",
        curves=curves,
    )
