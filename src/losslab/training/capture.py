"""CUDA graphs: a step recorded once and replayed, so that the GPU does not wait for Python."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_WARM_UP_STEPS = 3


def capture(step: Callable[..., Any], *, keep: Sequence[Tensor]) -> Callable[..., Any]:
    """Return ``step``, on CUDA replayed from a graph for each shape of its arguments.

    Args:
        step: From tensors, or ``None``, to a tuple of tensors. It must not wait for the device.
            What it returns is overwritten by the next call.
        keep: All that it changes, on one device.
    """
    if not keep[0].is_cuda:
        return step
    graphs: dict[Any, Callable[..., Any]] = {}

    def replay(*given: Tensor | None) -> Any:
        shapes = tuple(None if value is None else value.shape for value in given)
        if shapes not in graphs:
            graphs[shapes] = _record(step, given, keep)
        return graphs[shapes](*given)

    return replay


def _record(
    step: Callable[..., Any], given: Sequence[Tensor | None], keep: Sequence[Tensor]
) -> Callable[..., Any]:
    inputs = [None if value is None else value.clone() for value in given]
    before = [value.detach().clone() for value in keep]
    graph = torch.cuda.CUDAGraph()
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP_STEPS):
            step(*inputs)
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        outputs = step(*inputs)
    with torch.no_grad():
        for value, old in zip(keep, before, strict=True):
            value.copy_(old)

    def replay(*values: Tensor | None) -> Any:
        for held, value in zip(inputs, values, strict=True):
            if held is not None and value is not None:
                held.copy_(value)
        graph.replay()
        return outputs

    return replay
