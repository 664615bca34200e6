"""Replace files whole: written beside and renamed, so that nobody ever reads half of one."""

import json
import os
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replace ``path`` by ``content``; a kill at any moment leaves the old or the new file."""
    data = content.encode() if isinstance(content, str) else content
    # The process id: two processes must not write the same temporary file.
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as indented JSON; NaN and infinity are not JSON and raise."""
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
