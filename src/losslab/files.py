"""Files that are whole or not there, that tell when they were altered, and that can be locked."""

import errno
import fcntl
import hashlib
import json
import logging
import multiprocessing
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

logger = logging.getLogger(__name__)

LOCK_FILE = ".lock"

# What NFS says of a lock on a folder, other file systems and sandboxes of any lock.
_NO_LOCK = {
    *(errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS),
    *(errno.EACCES, errno.EPERM, errno.EROFS),
}

_SEAL = "checksum"
_SECONDS_UNTIL_LEFT = 24 * 3600

LARGEST = 2**34
"""Bytes of any file that is read, against files with holes that claim to be endless."""

_LARGEST_TEXT, _LARGEST_YAML, _DEEPEST_YAML = 2**26, 2**20, 50

# libyaml reads hundreds of files in a second, the pure Python loader takes ten.
YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Give the path of a temporary file, which replaces ``path`` where all goes well.

    A kill at any moment leaves the old or the new file, and any number of processes may write the
    same one at once: the last that is done wins. What a killed process left beside the file is
    removed by whoever writes it a day later: whether its process is alive, nobody can tell from
    another machine or container. The temporary name says nothing of the final one: TensorBoard
    opens whatever has ``tfevents`` in its name.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.txt"
    ...     with beside(file) as temporary:
    ...         _ = temporary.write_text("whole")
    ...     file.read_text(), len(list(Path(folder).iterdir()))
    ('whole', 1)
    """
    prefix = f".{hashlib.sha256(path.name.encode()).hexdigest()[:16]}."
    for left in path.parent.glob(f"{prefix}*.tmp"):
        with suppress(FileNotFoundError):  # another process was first
            if time.time() - left.lstat().st_mtime > _SECONDS_UNTIL_LEFT:
                left.unlink()
    temporary = path.with_name(f"{prefix}{os.urandom(8).hex()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def lock(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold a folder that exists, or a file, which is made; gives False if another process has it.

    A lock of the operating system on the folder itself: it needs no file that could be left
    behind, and it is gone when its process is, however that ends. Over NFS, which locks files
    only, it is on a file ``.lock`` in the folder, and holds between all clients of a server that
    has locks. Where there are none at all, that is a warning, and two processes at the same thing
    would be noticed by nobody.

    Args:
        path: Of the folder or the file.
        wait: Until another process that has it lets it go, in place of giving False.
    """
    with ExitStack() as stack:
        mine, places = None, [path, path / LOCK_FILE] if path.is_dir() else [path]
        for place in places:
            try:
                # Not inherited by other programs, so that none holds it beyond its owner's end.
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
                flags = os.O_RDONLY if place.is_dir() else flags
                handle = os.open(place, flags, 0o666)
            except OSError as error:
                if place == path or error.errno not in _NO_LOCK:
                    raise
                break  # a folder of somebody else's
            stack.callback(os.close, handle)
            mine = _try_to_lock(handle, wait=wait)
            if mine is not None:
                break
        if mine is None and multiprocessing.parent_process() is None:
            _warn_of_no_locks(path.parent)
        yield mine is not False


def _try_to_lock(handle: int, *, wait: bool) -> bool | None:
    """Return whether the lock was free, ``None`` where there are no locks."""
    for again in (True, False):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            if again:  # it may only have been asked whether it is free
                time.sleep(0.02)
        except OSError as error:
            if error.errno not in _NO_LOCK:
                raise
            return None
        else:
            return True
    return False


_told_of_no_locks = False


def _warn_of_no_locks(folder: Path) -> None:
    global _told_of_no_locks
    if not _told_of_no_locks:
        _told_of_no_locks = True
        logger.warning("%s: this file system has no locks; run one command at a time", folder)


def expanded(path: str | Path) -> Path:
    """Return a path with the home folder in place of ``~``.

    Raises:
        ValueError: There is no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(
            f"{path}: there is no such home folder; set HOME, or give folders without ~ "
            "(data.root=..., data.cache_dir=... or null)"
        ) from None


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replace ``path`` by ``content``, as :func:`beside` does."""
    # Half a sign, as JSON of somebody else's may hold, is no UTF-8.
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    with beside(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as indented JSON; NaN and infinity are not JSON and raise."""
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextmanager
def opened(path: Path, *, most: int = LARGEST) -> Iterator[Any]:
    """Open a file of somebody's for reading bytes; a pipe in its place would be waited for.

    Raises:
        OSError: It cannot be opened.
        ValueError: It is no regular file, or larger than ``most`` bytes.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no regular file")
        if found.st_size > most:
            raise ValueError(f"it has {found.st_size} bytes, of {most} at most")
        yield file


def read_bytes(path: Path, *, most: int = LARGEST) -> bytes:
    """Return what a file holds; raises as :func:`opened`."""
    with opened(path, most=most) as file:
        content: bytes = file.read(most + 1)
    return content


def read_text(path: Path, *, most: int = _LARGEST_TEXT) -> str:
    """Return what a file in UTF-8 holds; raises as :func:`opened`, and where it is not UTF-8."""
    return read_bytes(path, most=most).decode()


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        ValueError: It is missing, cut off, or holds something else; in one line.
    """
    try:
        value = json.loads(read_text(path))
    except FileNotFoundError:
        raise ValueError(f"{path.name} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} cannot be read: {_one_line(error)}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no mapping")
    return value


def read_yaml(path: Path) -> str:
    """Return the text of a file in YAML, once it is known that reading it ends soon.

    References to references make gigabytes of a few lines, and deep nesting takes minutes;
    losslab writes neither.

    Raises:
        OSError: It cannot be opened.
        ValueError: It is large, deep, has references or is no YAML; in one line.
    """
    depth, text = 0, read_text(path, most=_LARGEST_YAML)
    try:
        for event in yaml.parse(text, YAML_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has references")
            if depth > _DEEPEST_YAML:
                raise ValueError(f"it is nested more than {_DEEPEST_YAML} deep")
    except yaml.YAMLError as error:
        raise ValueError(_one_line(error)) from None
    return text


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file; raises as :func:`opened`."""
    with opened(path) as file:
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
        try:
            if checksum(path) != expected:
                return path.name
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (ValueError, IsADirectoryError):  # something else in its place
            return path.name
    return None


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
