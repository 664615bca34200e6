"""The device of a run, and torch's global settings for reproducibility and precision."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from losslab.training.settings import Trainer

_PARTS_WITH_TF32: Sequence[Any] = (
    torch.backends.cuda.matmul,
    torch.backends.cudnn.conv,  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn,
)


def resolve_device(name: str) -> torch.device:
    """Return the device with a name; ``auto`` is CUDA, else MPS, else CPU.

    Raises:
        ValueError: The device is unknown or unavailable.
    """
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available[:0] = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    device = available[0] if name == "auto" else name
    if device not in available:
        allowed = ", ".join(["auto", *available])
        raise ValueError(f"trainer.device={name} is unavailable; allowed here are {allowed}")
    return torch.device(device)


def device_name(device: torch.device) -> str:
    """Return a device with its model, such as ``cuda (NVIDIA H100 80GB HBM3)`` or ``cpu``."""
    model = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    return f"{device}{model}"


@contextmanager
def process_kept() -> Iterator[None]:
    """Restore torch's global settings on exit."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    cudnn = torch.backends.cudnn
    cudnn_before = cudnn.deterministic, cudnn.benchmark
    precisions = [part.fp32_precision for part in _PARTS_WITH_TF32]
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        cudnn.deterministic, cudnn.benchmark = cudnn_before
        _set_precisions(precisions)


def configure_process(settings: Trainer) -> None:
    """Set torch's global settings at the start of a run."""
    torch.set_num_threads(settings.threads)
    if settings.deterministic:
        # cuBLAS reads this when its first handle is created.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(settings.deterministic)
    # Filling new memory with NaN reveals reads of uninitialised values. losslab has none, and
    # filling costs a pass over every temporary.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = settings.deterministic
    torch.backends.cudnn.benchmark = not settings.deterministic
    # By default torch computes float32 convolutions in TF32.
    precision = "tf32" if settings.precision == "tf32" else "ieee"
    _set_precisions([precision] * len(_PARTS_WITH_TF32))


def _set_precisions(precisions: Sequence[str]) -> None:
    """Set how torch multiplies float32 numbers in each part: ``ieee``, ``tf32`` or ``none``."""
    matmul, convolution, _ = precisions
    # First the old settings: torch raises an error where they disagree with the new ones. Alone
    # they are not enough, since False leaves convolutions to torch.backends.fp32_precision.
    torch.backends.cuda.matmul.allow_tf32 = matmul == "tf32"
    torch.backends.cudnn.allow_tf32 = convolution == "tf32"
    for part, precision in zip(_PARTS_WITH_TF32, precisions, strict=True):
        part.fp32_precision = precision
