"""Optimizers of torch in another parametrisation."""

from collections.abc import Iterable
from typing import Any

from torch.optim import SGD


def nesterov(
    params: Iterable[Any],
    lr: float,
    *,
    momentum: float = 0.85,
    weight_decay: float = 0.002,
    fused: bool | None = None,
) -> SGD:
    """Return SGD with Nesterov's momentum, whose weight decay does not grow with the rate.

    ``weight_decay`` is torch's times ``lr``: at the full rate a step's gradient has weights shrink
    by this share, whatever the rate is, so that rates of very different losses can be compared. It
    follows the schedule as the rate does.

    >>> import torch
    >>> group = nesterov([torch.zeros(1)], lr=4.0, weight_decay=0.002).param_groups[0]
    >>> group["lr"] * group["weight_decay"]
    0.002
    """
    return SGD(
        params,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay / lr,
        nesterov=True,
        fused=fused,
    )
