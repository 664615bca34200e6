"""CUDA graphs: a step recorded once and replayed, so that the GPU does not wait for Python."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger("losslab")

Step = Callable[..., tuple[Tensor, ...]]
"""From tensors, or ``None``, to tensors; it may change others."""

_WARM_UP_STEPS = 3


def capture(step: Step, *, keep: Sequence[Tensor]) -> Step:
    """Return ``step``, on CUDA replayed from a graph: one for each shape of its arguments.

    A step that cannot be captured, or gives other values when it is replayed, stays as it is; the
    log says why. What a replayed step returns is overwritten by the next call.

    Args:
        step: To be repeated.
        keep: All tensors that it changes, on one device.
    """
    if not keep[0].is_cuda:
        return step
    found: dict[tuple[torch.Size | None, ...], Step] = {}

    def replayed(*given: Tensor | None) -> tuple[Tensor, ...]:
        shapes = tuple(None if value is None else value.shape for value in given)
        if shapes not in found:
            try:
                found[shapes] = _record(step, given, keep)
            except RuntimeError as error:
                reason = " ".join(str(error).split())
                logger.warning("trainer.engine: eager, since no CUDA graph is possible: %s", reason)
                found[shapes] = step
        return found[shapes](*given)

    return replayed


def _record(step: Step, given: Sequence[Tensor | None], keep: Sequence[Tensor]) -> Step:
    """Record a step; what it changes and what it draws from are put back afterwards."""
    inputs = [None if value is None else value.clone() for value in given]
    before, draws = [value.detach().clone() for value in keep], torch.cuda.get_rng_state()

    def put_back() -> None:
        torch.cuda.set_rng_state(draws)
        with torch.no_grad():
            for value, old in zip(keep, before, strict=True):
                value.copy_(old)

    side: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    graph = torch.cuda.CUDAGraph()
    try:
        expected = [value.clone() for value in step(*inputs)]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP_STEPS):
                step(*inputs)
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(graph):
            outputs = step(*inputs)
        put_back()
        graph.replay()
        exact = torch.are_deterministic_algorithms_enabled()
        for value, wanted in zip(outputs, expected, strict=True):
            if not (value.equal(wanted) if exact else value.allclose(wanted, 1e-3, equal_nan=True)):
                raise RuntimeError("its values change when it is replayed")
    finally:
        put_back()

    def replay(*values: Tensor | None) -> tuple[Tensor, ...]:
        for held, value in zip(inputs, values, strict=True):
            if held is not None and value is not None:
                held.copy_(value)
        graph.replay()
        return outputs

    return replay
