"""What a stopped run needs to go on and end with the numbers it would have had."""

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from losslab.files import read_bytes, write_atomically

_DIGEST_SIZE = hashlib.sha256().digest_size


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace ``path`` by ``state``; a kill at any moment leaves the old or the new one.

    The file is the SHA-256 of what ``torch.save`` writes, then that: a zip's own checksums leave
    out its headers.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    write_atomically(path, hashlib.sha256(content).digest() + content)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; no code in it is run.

    Raises:
        ValueError: The file is cut off or altered.
    """
    try:
        stored, reason = read_bytes(path), "its checksum differs"
    except ValueError as error:
        stored, reason = b"", str(error)
    digest, content = stored[:_DIGEST_SIZE], stored[_DIGEST_SIZE:]
    if hashlib.sha256(content).digest() == digest:
        try:
            state: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # whatever torch makes of something else
            reason = str(error)
        else:
            if isinstance(state, dict) and "step" in state:
                return state
            reason = "it holds something else"
    raise ValueError(
        f"checkpoint {path} is cut off or altered ({reason}); delete it to train this run from "
        "its start"
    )
