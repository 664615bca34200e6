"""SGD and Adam for many runs at once: each run's weights are a row of one matrix."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer


class RowOptimizer(ABC):
    """Updates each row of a matrix as an optimizer of torch would.

    Rates and settings differ from row to row. They are computed for a whole epoch beforehand, so
    that a step is a few operations on matrices.

    Args:
        optimizers: One a row, each with one group of parameters. They keep their settings; their
            state becomes views of :attr:`state`.
        weights: ``(R, P)``, the parameters of each optimizer as a row.
        own: How many of the first rows have an optimizer of their own; the others repeat one.

    Raises:
        ValueError: There are several groups.
    """

    names: ClassVar[tuple[str, ...]]
    """Of the parts of torch's state that are as large as the weights."""

    def __init__(self, optimizers: Sequence[Optimizer], weights: Tensor, *, own: int) -> None:
        if any(len(optimizer.param_groups) != 1 for optimizer in optimizers):
            raise ValueError("an optimizer has several groups of parameters; stacks take one")
        self._groups = [optimizer.param_groups[0] for optimizer in optimizers]
        self.state = {name: torch.zeros_like(weights) for name in self.names}
        self._steps: list[list[Tensor]] = []
        # Steps that each row has done.
        self.done = torch.zeros(len(optimizers), dtype=torch.float64)
        for row, optimizer in enumerate(optimizers):
            start, counters = 0, []
            for p in self._groups[row]["params"]:
                kept = optimizer.state.get(p, {})
                entries = slice(start, start := start + p.numel())
                for name, values in self.state.items():
                    if kept.get(name) is not None:
                        values[row, entries] = kept[name].flatten()
                        self.done[row] = float(kept.get("step", 1))
                if row < own:
                    views = {n: v[row, entries].view(p.shape) for n, v in self.state.items()}
                    counters.append(torch.zeros((), dtype=torch.float32, device=p.device))
                    optimizer.state[p] = self._torch_state(row, views, counters[-1])
            self._steps.append(counters)

    def _setting(self, name: str) -> Tensor:
        return torch.tensor([float(group[name]) for group in self._groups], dtype=torch.float64)

    def numbers(self, rates: Tensor) -> Tensor:
        """Return ``(T, n, R, 1)``, what :meth:`update` needs in each of T steps.

        Args:
            rates: ``(T, R)`` float64, the learning rates.
        """
        step = self.done + torch.arange(1, len(rates) + 1, dtype=torch.float64)[:, None]
        found = [number.expand_as(rates) for number in self._numbers(rates, step)]
        return torch.stack(found, dim=1).unsqueeze(-1)

    def count(self, rows: Sequence[int], steps: int) -> None:
        """Note that some rows have done more steps."""
        self.done[list(rows)] += steps
        for row in rows:
            for counter in self._steps[row]:
                counter.fill_(self.done[row].item())

    @abstractmethod
    def update(self, weights: Tensor, gradient: Tensor, numbers: Tensor) -> None:
        """Update ``(R, P)`` weights in place; ``numbers`` are ``(n, R, 1)``."""

    @abstractmethod
    def _numbers(self, rates: Tensor, step: Tensor) -> Sequence[Tensor]:
        """Return ``(T, R)`` or ``(R,)`` numbers; ``step`` counts from 1."""

    @abstractmethod
    def _torch_state(self, row: int, views: dict[str, Tensor], step: Tensor) -> dict[str, Tensor]:
        """Return what torch's optimizer of a row keeps of a parameter."""


@final
class RowSGD(RowOptimizer):
    """``torch.optim.SGD``: weight decay, momentum with dampening, Nesterov's or not."""

    names = ("momentum_buffer",)

    def _numbers(self, rates: Tensor, step: Tensor) -> Sequence[Tensor]:
        momentum = self._setting("momentum")
        # Without momentum, and in the first step, the buffer is the gradient.
        keeps = (step > 1) & (momentum > 0)
        return (
            rates,
            1 - 2 * self._setting("maximize"),
            self._setting("weight_decay"),
            torch.where(keeps, momentum, 0.0),
            torch.where(keeps, 1 - self._setting("dampening"), 1.0),
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
        decay, apart = self._setting("weight_decay"), self._setting("decoupled_weight_decay") > 0
        return (
            rates / (1 - beta1**step),
            (1 - beta2**step).sqrt(),
            1 - 2 * self._setting("maximize"),
            torch.where(apart, 0.0, decay),
            1 - rates * torch.where(apart, decay, 0.0),
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
"""From torch's optimizer to the one for rows."""


def row_optimizer(optimizers: Sequence[Optimizer], weights: Tensor, *, own: int) -> RowOptimizer:
    """Return the optimizer of the rows of ``weights``; arguments as of :class:`RowOptimizer`."""
    found = {ROW_OPTIMIZERS.get(type(optimizer)) for optimizer in optimizers}
    kind = found.pop()
    if found or kind is None:
        allowed = ", ".join(sorted(known.__name__ for known in ROW_OPTIMIZERS))
        given = ", ".join(sorted({type(optimizer).__name__ for optimizer in optimizers}))
        raise ValueError(f"a stack cannot have optimizer {given}; allowed are {allowed}")
    return kind(optimizers, weights, own=own)
