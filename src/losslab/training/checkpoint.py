"""What a stopped run needs to go on and end with the numbers it would have had."""

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from losslab.recording import write_atomically


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace ``path`` by ``state``; a kill at any moment leaves the old or the new one."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; no code in it is run.

    Raises:
        ValueError: The file is cut off or altered (its checksums do not hold).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is None:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a damaged zip or pickle makes its readers raise
        damaged = str(error)
    raise ValueError(
        f"checkpoint {path} is cut off or altered ({damaged}); delete it to train this run "
        "from its start"
    )
