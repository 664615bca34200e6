"""Checkpoints, from which a stopped run resumes and ends with the same numbers."""

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
    """Write a checkpoint atomically: a kill at any moment leaves the old or the new one.

    The file starts with a SHA-256 of what ``torch.save`` writes, which follows. The checksums
    inside a zip file do not cover its headers.
    """
    content = pack(state)
    write_atomically(path, hashlib.sha256(content).digest() + content)


def pack(state: Any) -> bytes:
    """Return the bytes that ``torch.save`` writes, for :func:`unpack`."""
    buffer = io.BytesIO()
    torch.save(_without_views(state), buffer)
    return buffer.getvalue()


def _without_views(state: Any) -> Any:
    """Copy tensors that are parts of larger ones, such as a lane of a stack.

    ``torch.save`` would write the memory of all lanes into the checkpoint of each.
    """
    if isinstance(state, Mapping):
        copies = {key: _without_views(value) for key, value in state.items()}
        return copies if any(copies[key] is not state[key] for key in copies) else state
    if isinstance(state, Tensor) and state.layout is torch.strided:
        return state.clone() if state.untyped_storage().nbytes() > state.nbytes else state
    return state


def unpack(content: bytes) -> Any:
    """Return the object given to :func:`pack`, on the CPU, without running any code in it."""
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def pack_weights(state: Mapping[str, Tensor]) -> bytes:
    """Return a ``state_dict`` in the safetensors format.

    Weights that share memory, such as tied ones, are written once under each of their names.
    """
    contiguous = torch.contiguous_format
    return to_safetensors(
        {name: w.detach().clone(memory_format=contiguous) for name, w in state.items()}
    )


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, without running any code in it.

    Raises:
        ValueError: The file is cut off or altered.
    """
    try:
        stored = read_bytes(path)
        digest, content = stored[:_DIGEST_SIZE], stored[_DIGEST_SIZE:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("its checksum does not match")
        state = unpack(content)
        if not isinstance(state, dict) or "step" not in state:
            raise ValueError("it is not a checkpoint")
    except OSError:
        raise
    except Exception as error:  # torch raises many types of errors
        raise ValueError(
            f"checkpoint {path} is cut off or altered ({error}); delete it to train this run from "
            "the start"
        ) from error
    return state
