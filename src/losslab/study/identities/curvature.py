"""S12: the smallest eigenvalue of a loss's Hessian in the logits, on random logits."""

import torch
from torch import Tensor

from losslab.diagnostics import differentiate_twice
from losslab.figures import Curve, Drawing, Panel
from losslab.losses import CrossEntropy, Loss, SquaredError
from losslab.report.evidence import Measurement, Quantity
from losslab.seeding import generator
from losslab.study.measure import Runs

LOSSES: dict[str, Loss] = {
    "cross_entropy": CrossEntropy(),
    "brier": SquaredError("softmax", "sum"),
}
LABELS = {"cross_entropy": "cross-entropy", "brier": "squared error after softmax"}


def smallest_eigenvalues(loss: Loss, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the smallest eigenvalue ``(N,)`` of each example's Hessian in its logits.

    By differentiation, not from the formula whose consequence this is to show.

    Args:
        loss: Any.
        logits: ``(N, K)`` float64.
        labels: ``(N,)`` int64.

    >>> flat = smallest_eigenvalues(LOSSES["brier"], torch.tensor([[3.0, 0.0]]).double(),
    ...                             torch.tensor([1]))
    >>> bool(flat < 0)
    True
    """
    hessian = differentiate_twice(loss.per_example, logits, labels)
    lowest: Tensor = torch.linalg.eigvalsh(hessian)[:, 0]
    return lowest


def random_logits(
    runs: Runs,  # noqa: ARG001
    *,
    num_classes: list[int],
    scales: list[float],
    count: int,
    seed: int,
) -> Measurement:
    """Look for a negative eigenvalue on normal logits of several sizes.

    Args:
        runs: None are needed.
        num_classes: Values of K.
        scales: Standard deviations of the logits.
        count: Logit vectors for each K and scale.
        seed: Of the logits and labels.

    Returns:
        ``cross_entropy`` and ``brier``: the smallest eigenvalue found.
    """
    draw = generator(seed, "identities", "curvature")
    lowest = dict.fromkeys(LOSSES, float("inf"))
    for k in num_classes:
        for scale in scales:
            logits = scale * torch.randn(count, k, generator=draw, dtype=torch.float64)
            labels = torch.randint(k, (count,), generator=draw)
            for name, loss in LOSSES.items():
                found = smallest_eigenvalues(loss, logits, labels).min().item()
                lowest[name] = min(lowest[name], found)
    n = count * len(num_classes) * len(scales)
    return Measurement(
        quantities={
            name: Quantity(
                value=lowest[name],
                n=n,
                what=f"smallest eigenvalue of the logit Hessian of {LABELS[name]}, random logits",
            )
            for name in LOSSES
        },
        drawings=[_two_classes()],
    )


def _two_classes() -> Drawing:
    margin = torch.linspace(-6, 6, 121, dtype=torch.float64)
    logits = torch.stack([margin, torch.zeros_like(margin)], dim=1)
    labels = torch.zeros(len(margin), dtype=torch.int64)
    turn = torch.tensor(0.5, dtype=torch.float64).log()  # p_y = 1/3
    return Drawing(
        name="two_classes",
        caption="Two classes, along z_y − z_other. Cross-entropy curves upwards everywhere; "
        "squared error after softmax curves downwards left of the mark, where the answer is wrong.",
        panels=[
            Panel(
                title="Convex, and not",
                x_label="lead of the true class, z_y − z_other",
                y_label="loss (cross-entropy in nats)",
                curves=[
                    Curve(
                        label=LABELS[name],
                        x=margin.tolist(),
                        y=loss.per_example(logits, labels).tolist(),
                        loss=name,
                    )
                    for name, loss in LOSSES.items()
                ]
                + [
                    Curve(
                        label="p_y = 1/3, where the curvature turns",
                        x=[turn.item()],
                        y=LOSSES["brier"]
                        .per_example(torch.stack([turn, 0 * turn])[None], labels[:1])
                        .tolist(),
                        loss="brier",
                        line=False,
                    )
                ],
            )
        ],
    )
