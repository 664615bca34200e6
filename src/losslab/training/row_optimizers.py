"""SGD and Adam for many runs at once: the weights of each run are a row of one matrix."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer


class RowOptimizer(ABC):
    """Updates each row of a matrix as torch's optimizer would.

    Rates and settings can differ between rows. They are computed once per epoch, so that a step is
    only a few matrix operations.

    Args:
        optimizers: One per row, each with one parameter group. Their state becomes views of
            :attr:`state`.
        weights: ``(R, P)``, the parameters of each optimizer as a row.
        num_runs: How many of the first rows are runs; the other rows repeat an optimizer.

    Raises:
        ValueError: An optimizer has several parameter groups.
    """

    names: ClassVar[tuple[str, ...]]
    """The parts of torch's state that are as large as the weights."""

    def __init__(self, optimizers: Sequence[Optimizer], weights: Tensor, *, num_runs: int) -> None:
        if any(len(optimizer.param_groups) != 1 for optimizer in optimizers):
            raise ValueError("an optimizer has several groups of parameters; a stack allows one")
        self._groups = [optimizer.param_groups[0] for optimizer in optimizers]
        self.state = {name: torch.zeros_like(weights) for name in self.names}
        self._counters: list[list[Tensor]] = []  # torch's, one per parameter of each run
        self.steps_done = torch.zeros(len(optimizers), dtype=torch.float64)  # of each row
        for row, optimizer in enumerate(optimizers):
            start, counters = 0, []
            for p in self._groups[row]["params"]:
                torch_state = optimizer.state.get(p, {})
                entries = slice(start, start := start + p.numel())
                for name, values in self.state.items():
                    if torch_state.get(name) is not None:
                        values[row, entries] = torch_state[name].flatten()
                        self.steps_done[row] = float(torch_state.get("step", 1))
                if row < num_runs:
                    views = {n: v[row, entries].view(p.shape) for n, v in self.state.items()}
                    counters.append(torch.zeros((), dtype=torch.float32, device=p.device))
                    optimizer.state[p] = self._torch_state(row, views, counters[-1])
            self._counters.append(counters)

    def _setting(self, name: str) -> Tensor:
        return torch.tensor([float(group[name]) for group in self._groups], dtype=torch.float64)

    def numbers(self, rates: Tensor) -> Tensor:
        """Return the numbers ``(T, n, R, 1)`` that :meth:`update` needs in each of T steps.

        Args:
            rates: ``(T, R)`` float64, the learning rates.
        """
        step = self.steps_done + torch.arange(1, len(rates) + 1, dtype=torch.float64)[:, None]
        numbers = [number.expand_as(rates) for number in self._numbers(rates, step)]
        return torch.stack(numbers, dim=1).unsqueeze(-1)

    def count(self, rows: Sequence[int], steps: int) -> None:
        """Add to the number of steps of some rows."""
        self.steps_done[list(rows)] += steps
        for row in rows:
            for counter in self._counters[row]:
                counter.fill_(self.steps_done[row].item())

    @abstractmethod
    def update(self, weights: Tensor, gradient: Tensor, numbers: Tensor) -> None:
        """Update ``(R, P)`` weights in place; ``numbers`` are ``(n, R, 1)``."""

    @abstractmethod
    def _numbers(self, rates: Tensor, step: Tensor) -> Sequence[Tensor]:
        """Return ``(T, R)`` or ``(R,)`` numbers; ``step`` counts from 1."""

    @abstractmethod
    def _torch_state(self, row: int, views: dict[str, Tensor], step: Tensor) -> dict[str, Tensor]:
        """Return the state that torch's optimizer of a row has for a parameter."""


@final
class RowSGD(RowOptimizer):
    """``torch.optim.SGD`` with weight decay, momentum, dampening and Nesterov momentum."""

    names = ("momentum_buffer",)

    def _numbers(self, rates: Tensor, step: Tensor) -> Sequence[Tensor]:
        momentum = self._setting("momentum")
        # Without momentum, and in the first step, the buffer is the gradient.
        has_buffer = (step > 1) & (momentum > 0)
        return (
            rates,
            1 - 2 * self._setting("maximize"),
            self._setting("weight_decay"),
            torch.where(has_buffer, momentum, 0.0),
            torch.where(has_buffer, 1 - self._setting("dampening"), 1.0),
            self._setting("nesterov"),
            momentum,
        )

    def update(self, weights: Tensor, gradient: Tensor, numbers: Tensor) -> None:  # noqa: D102
        rate, sign, decay, keep, gain, nesterov, momentum = numbers
        gradient = torch.addcmul(gradient * sign, weights, decay)
        buffer = self.state["momentum_buffer"].mul_(keep).addcmul_(gradient, gain)
        step = torch.where(nesterov > 0, torch.addcmul(gradient, buffer, momentum), buffer)
        weights.addcmul_(step, rate, value=-1)

    def _torch_state(self, row: int, views: dict[str, Tensor], step: Tensor) -> dict[str, Tensor]:
        del step
        return views if self._groups[row]["momentum"] else {}


@final
class RowAdam(RowOptimizer):
    """``torch.optim.Adam`` and ``AdamW``, with or without AMSGrad."""

    names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def _numbers(self, rates: Tensor, step: Tensor) -> Sequence[Tensor]:
        betas = torch.tensor([group["betas"] for group in self._groups], dtype=torch.float64)
        beta1, beta2 = betas.unbind(1)
        decay = self._setting("weight_decay")
        decoupled = self._setting("decoupled_weight_decay") > 0
        return (
            rates / (1 - beta1**step),
            (1 - beta2**step).sqrt(),
            1 - 2 * self._setting("maximize"),
            torch.where(decoupled, 0.0, decay),
            1 - rates * torch.where(decoupled, decay, 0.0),
            1 - beta1,
            1 - beta2,
            self._setting("eps"),
            self._setting("amsgrad"),
        )

    def update(self, weights: Tensor, gradient: Tensor, numbers: Tensor) -> None:  # noqa: D102
        rate, correction, sign, decay, keep, weight1, weight2, eps, amsgrad = numbers
        first, second, largest = self.state.values()
        gradient = torch.addcmul(gradient * sign, weights, decay)
        first.lerp_(gradient, weight1)
        second.lerp_(gradient.square(), weight2)
        torch.maximum(largest, second, out=largest)
        squares = torch.where(amsgrad > 0, largest, second)
        step = first / (squares.sqrt() / correction + eps)
        weights.mul_(keep).addcmul_(step, rate, value=-1)

    def _torch_state(self, row: int, views: dict[str, Tensor], step: Tensor) -> dict[str, Tensor]:
        used = self.names if self._groups[row]["amsgrad"] else self.names[:2]
        return {name: views[name] for name in used} | {"step": step}


ROW_OPTIMIZERS: dict[type[Optimizer], type[RowOptimizer]] = {
    SGD: RowSGD,
    Adam: RowAdam,
    AdamW: RowAdam,
}
"""Maps torch's optimizers to those for rows."""


def row_optimizer(
    optimizers: Sequence[Optimizer], weights: Tensor, *, num_runs: int
) -> RowOptimizer:
    """Return the optimizer for the rows of ``weights``; see :class:`RowOptimizer`."""
    row_type, *others = {ROW_OPTIMIZERS.get(type(optimizer)) for optimizer in optimizers}
    if others or row_type is None:
        allowed = ", ".join(sorted(kind.__name__ for kind in ROW_OPTIMIZERS))
        names = ", ".join(sorted({type(optimizer).__name__ for optimizer in optimizers}))
        raise ValueError(f"a stack cannot have optimizer {names}; allowed are {allowed}")
    return row_type(optimizers, weights, num_runs=num_runs)
