"""Files that are whole or not there, and that tell when they were altered since."""

import glob
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SEAL = "checksum"
_PACKAGE = Path(__file__).resolve().parent
# A wheel carries conf/ inside the package; a checkout has it at its root.
CONFIG_FOLDER = next(
    folder for folder in (_PACKAGE / "conf", _PACKAGE.parents[1] / "conf") if folder.is_dir()
)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Give the path of a temporary file, which replaces ``path`` where all goes well.

    A kill at any moment leaves the old or the new file, and any number of processes may write the
    same one at once: the last that is done wins. What a killed process left beside the file is
    removed by the next one that writes it on the same host. The temporary name says nothing of the
    final one: TensorBoard opens whatever has ``tfevents`` in its name.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.txt"
    ...     with beside(file) as temporary:
    ...         _ = temporary.write_text("whole")
    ...     file.read_text(), len(list(Path(folder).iterdir()))
    ('whole', 1)
    """
    name = hashlib.sha256(path.name.encode()).hexdigest()[:16]
    prefix = f".{name}.{socket.gethostname()}."
    for left in path.parent.glob(f"{glob.escape(prefix)}*.tmp"):
        if not _is_alive(left.name.removeprefix(prefix).partition("-")[0]):
            left.unlink(missing_ok=True)
    temporary = path.with_name(f"{prefix}{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:  # of another user
        return True
    return True


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replace ``path`` by ``content``, as :func:`beside` does."""
    data = content.encode() if isinstance(content, str) else content
    with beside(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as indented JSON; NaN and infinity are not JSON and raise."""
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        ValueError: It is missing, cut off, or holds something else; in one line.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path.name} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} cannot be read: {_one_line(error)}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no mapping")
    return value


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``value`` with a checksum over all of it, for :func:`is_intact`.

    >>> is_intact(sealed({"a": 1})), is_intact(sealed({"a": 1}) | {"a": 2})
    (True, False)
    """
    return {**value, _SEAL: _digest(value)}


def is_intact(value: Mapping[str, Any]) -> bool:
    """Return whether ``value`` is as :func:`sealed` gave it, or was never sealed."""
    if _SEAL not in value:
        return True
    return bool(value[_SEAL] == _digest({k: v for k, v in value.items() if k != _SEAL}))


def first_altered(folder: Path, checksums: object) -> str | None:
    """Return the name of the first file that is not as its SHA-256 says, ``None`` if all are.

    Files that are not there are left out: some are large, and may be deleted to save room.

    Args:
        folder: Of the files.
        checksums: File name to SHA-256; anything else is what an altered file holds.
    """
    if not isinstance(checksums, Mapping):
        return None
    for name, expected in checksums.items():
        path = folder / Path(str(name)).name
        if path.is_file() and checksum(path) != expected:
            return path.name
    return None


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
