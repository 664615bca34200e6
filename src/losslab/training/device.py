"""Where a run computes, and whether it repeats to the bit."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from losslab.training.settings import Trainer


def resolve_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` is CUDA, else MPS, else CPU.

    Raises:
        ValueError: It is unknown, or this machine has none.
    """
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present[:0] = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    chosen = present[0] if name == "auto" else name
    if chosen not in present:
        allowed = ", ".join(["auto", *present])
        raise ValueError(f"trainer.device={name} is not on this machine; allowed here: {allowed}")
    return torch.device(chosen)


def device_name(device: torch.device) -> str:
    """Return a device for a record: ``cuda (NVIDIA H100 80GB HBM3)``, ``cpu``."""
    model = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    return f"{device}{model}"


@contextmanager
def process_kept() -> Iterator[None]:
    """Restore torch's global switches afterwards, whatever a run sets meanwhile."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    cudnn = torch.backends.cudnn
    cudnn_before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
    products = torch.backends.cuda.matmul.allow_tf32
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = cudnn_before
        torch.backends.cuda.matmul.allow_tf32 = products


def configure_process(settings: Trainer) -> None:
    """Set torch's global switches at the start of a run, whatever the last one in here set."""
    torch.set_num_threads(settings.threads)
    if settings.deterministic:
        # cuBLAS reads this when its first handle is made.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(settings.deterministic)
    # Filling fresh memory with NaN finds reads of uninitialised values; ours has none, and it
    # costs a pass over every temporary.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = settings.deterministic
    torch.backends.cudnn.benchmark = not settings.deterministic
    # Left alone, torch computes float32 convolutions in TF32.
    torch.backends.cudnn.allow_tf32 = settings.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = settings.precision == "tf32"
