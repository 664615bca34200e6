"""What a stopped run needs to resume and end with the numbers it would have had."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from losslab.files import read_bytes, write_atomically

_DIGEST_SIZE = hashlib.sha256().digest_size


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace ``path`` by ``state``; a kill at any moment leaves the old or the new one.

    The file is the SHA-256 of what ``torch.save`` writes, then that: the checksums inside a zip do
    not cover its headers.
    """
    content = pack(state)
    write_atomically(path, hashlib.sha256(content).digest() + content)


def pack(state: Any) -> bytes:
    """Return what ``torch.save`` writes, for :func:`unpack`."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpack(content: bytes) -> Any:
    """Return what :func:`pack` was given, on the CPU; no code in it is run."""
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def pack_weights(state: Mapping[str, Tensor]) -> bytes:
    """Return a ``state_dict`` in the safetensors format.

    Weights that share memory, as tied ones do, are written once for each of their names.
    """
    layout = torch.contiguous_format
    copies = {name: v.detach().clone(memory_format=layout) for name, v in state.items()}
    return to_safetensors(copies)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; no code in it is run.

    Raises:
        ValueError: The file is cut off or altered.
    """
    try:
        stored = read_bytes(path)
        digest, content = stored[:_DIGEST_SIZE], stored[_DIGEST_SIZE:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("its checksum differs")
        state = unpack(content)
        if not isinstance(state, dict) or "step" not in state:
            raise ValueError("it holds something else")
    except OSError:
        raise
    except Exception as error:  # whatever torch raises for another file
        raise ValueError(
            f"checkpoint {path} is cut off or altered ({error}); delete it to train this run from "
            "its start"
        ) from error
    return state
