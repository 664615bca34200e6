"""The device of a run, and torch's global settings for reproducibility and precision."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from losslab.training.settings import Trainer


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
    cudnn_before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
    matmul_tf32 = torch.backends.cuda.matmul.allow_tf32
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = cudnn_before
        torch.backends.cuda.matmul.allow_tf32 = matmul_tf32


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
    torch.backends.cudnn.allow_tf32 = settings.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = settings.precision == "tf32"
