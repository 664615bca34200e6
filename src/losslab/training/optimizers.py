"""torch's optimizers with other parametrisations."""

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
    """Return SGD with Nesterov momentum and a weight decay that does not depend on the rate.

    ``weight_decay`` is ``lr`` times torch's: the share by which a step at the full rate shrinks the
    weights. It stays the same when ``lr`` is tuned, so that losses with very different best rates
    can be compared. Like the rate, it follows the schedule.

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
