"""Who makes the updates of runs: each run's own loop, or a stack of all of them."""

import copy
from collections.abc import Sequence

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from losslab.training.loop import Loop
from losslab.training.stack import Stack, errors_kept
from losslab.training.step import forward

MOST_LANES = 64
STACK_MEMORY = 2**34
"""Bytes; the same everywhere, since a run's bits depend on the size of its stack."""


def train_together(loops: Sequence[Loop]) -> None:
    """Train runs with the engine of their settings; an error of one ends that one alone.

    Those of a stack are alike, see :class:`Stack`.
    """
    if loops and loops[0].settings.engine == "stacked":
        size = loops[0].settings.stack_size or lanes_that_fit(loops[0])
        for start in range(0, len(loops), size):
            Stack(loops[start : start + size], size=size).run()
        return
    for loop in loops:
        with errors_kept(loop):
            loop.run()


def lanes_that_fit(loop: Loop) -> int:
    """Return how many runs a stack has: a power of two, at most 64, that needs some 16 GiB."""
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
    # Gradients of activations take as much again; gradients and an optimizer's state are as large
    # as the weights.
    each = 2 * sum(sizes.values()) + 5 * weights
    fit = max(1, min(MOST_LANES, STACK_MEMORY // each))
    return 1 << (fit.bit_length() - 1)
