"""Train runs one after another, or together in stacks."""

import copy
from collections.abc import Sequence

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from losslab.training.loop import Loop
from losslab.training.stack import Stack, errors_recorded
from losslab.training.step import forward

MOST_LANES = 64
STACK_MEMORY = 2**34
"""Bytes; constant, since rounding depends on the size of the stack."""


def train_together(loops: Sequence[Loop]) -> None:
    """Train runs with the engine in their settings; an error ends only the run that raised it.

    Runs that are stacked must have the same shapes, see :class:`Stack`.
    """
    if loops and loops[0].settings.engine == "stacked":
        size = loops[0].settings.stack_size or lanes_that_fit(loops[0])
        for start in range(0, len(loops), size):
            Stack(loops[start : start + size], size=size).run()
        return
    for loop in loops:
        with errors_recorded(loop):
            loop.run()


def lanes_that_fit(loop: Loop) -> int:
    """Return the number of runs in a stack: the power of two that fits 16 GiB, at most 64."""
    sizes: dict[int, int] = {}

    def measure(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    model = copy.deepcopy(loop.step.model)
    batch = loop.train.select(loop.train.order(0, 0)[: loop.train.batch_size])
    with saved_tensors_hooks(measure, lambda tensor: tensor):
        logits = forward(model, batch.images, loop.step.autocast)
        loop.step.objective.per_example(logits, batch.labels)
    weights = sum(p.nbytes for p in model.parameters())
    # Gradients of activations take as much as the activations. Gradients of the weights and each
    # part of the optimizer's state take as much as the weights.
    bytes_per_run = 2 * sum(sizes.values()) + 5 * weights
    fit = max(1, min(MOST_LANES, STACK_MEMORY // bytes_per_run))
    return 1 << (fit.bit_length() - 1)
