"""Capture a step as a CUDA graph and replay it, so that the GPU does not wait for Python."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger("losslab")

Step = Callable[..., tuple[Tensor, ...]]
"""Maps tensors, or ``None``, to tensors; it may also change tensors in place."""

_WARM_UP_STEPS = 3


def capture(step: Step, *, keep: Sequence[Tensor]) -> Step:
    """Return ``step``; on CUDA, a function that replays a graph, one per set of argument shapes.

    A step that cannot be captured, or whose values change when replayed, runs eagerly, and the log
    says why. The next call overwrites the tensors that a replayed step returned.

    Args:
        step: The step.
        keep: All tensors that it changes in place, on one device.
    """
    if not keep[0].is_cuda:
        return step
    device = keep[0].device
    by_shapes: dict[tuple[torch.Size | None, ...], Step] = {}

    def replayed(*arguments: Tensor | None) -> tuple[Tensor, ...]:
        shapes = tuple(None if value is None else value.shape for value in arguments)
        if shapes not in by_shapes:
            # Before torch 2.15, a capture that fails leaves another stream the current one.
            current = torch.cuda.stream(torch.cuda.current_stream(device))
            try:
                with torch.cuda.device(device), current:
                    by_shapes[shapes] = _record(step, arguments, keep)
            except RuntimeError as error:
                reason = " ".join(str(error).split())
                logger.warning("trainer.engine: eager, since no CUDA graph is possible: %s", reason)
                by_shapes[shapes] = step
        return by_shapes[shapes](*arguments)

    return replayed


def _record(step: Step, arguments: Sequence[Tensor | None], keep: Sequence[Tensor]) -> Step:
    """Record a step, then restore the tensors that it changed and the random state."""
    inputs = [None if value is None else value.clone() for value in arguments]
    saved, rng_state = [value.detach().clone() for value in keep], torch.cuda.get_rng_state()

    def restore() -> None:
        torch.cuda.set_rng_state(rng_state)
        with torch.no_grad():
            for value, copy in zip(keep, saved, strict=True):
                value.copy_(copy)

    # By default all graphs of a process share a stream, on the device of the first, and cuBLAS's
    # workspace, which the first graph to be destroyed frees.
    stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    graph = torch.cuda.CUDAGraph()
    try:
        expected = [value.clone() for value in step(*inputs)]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_STEPS):
                step(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(graph, stream=stream):
            outputs = step(*inputs)
        restore()
        graph.replay()
        exact = torch.are_deterministic_algorithms_enabled()
        for value, eager in zip(outputs, expected, strict=True):
            if not (value.equal(eager) if exact else value.allclose(eager, 1e-3, equal_nan=True)):
                raise RuntimeError("its values change when replayed")
    finally:
        restore()

    def replay(*values: Tensor | None) -> tuple[Tensor, ...]:
        for static, value in zip(inputs, values, strict=True):
            if static is not None and value is not None:
                static.copy_(value)
        graph.replay()
        return outputs

    return replay
