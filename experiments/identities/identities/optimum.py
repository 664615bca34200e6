"""Find the lowest point of a function, and random distributions to try things on."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


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


def random_distributions(
    count: int, num_classes: int, *, generator: torch.Generator, spread: float = 2.0
) -> Tensor:
    """Draw ``(count, K)`` float64 distributions: softmax of normal numbers.

    Args:
        count: How many.
        num_classes: K.
        generator: A CPU generator.
        spread: Standard deviation of the logits; the larger, the more certain.
    """
    logits = torch.randn(count, num_classes, generator=generator, dtype=torch.float64)
    return (spread * logits).softmax(1)
