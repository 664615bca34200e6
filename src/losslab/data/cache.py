"""Cache a data set in one file after the first read; later reads take hundredths of a second."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from losslab.data.source import Source
from losslab.files import expanded, read_bytes, read_text, write_atomically

logger = logging.getLogger(__name__)

FORMAT = 2
"""Incremented when the stored content changes, so that older files are ignored."""

_TENSORS = ("train_images", "train_labels", "test_images", "test_labels")
_TEXTS = ("class_names", "notes")


def cached(
    read: Callable[[], Source], *, cache_dir: str | Path | None, name: str, fingerprint: str
) -> Source:
    """Return ``read()``, or its cached result if ``fingerprint`` is in ``cache_dir``.

    Each cache file has a SHA-256 in a second file; a damaged one is read again, with a warning in
    the log. Files are replaced atomically, so processes may share the cache. Failure to write it is
    only a warning.
    """
    if cache_dir is None:
        return read()
    text = f"{FORMAT}/{name}/{fingerprint}"
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
    path = expanded(cache_dir) / f"{name}-{digest[:16]}.safetensors"
    source = _load(path, name)
    if source is None:
        source = read()
        _store(source, path)
    return source


def _load(path: Path, name: str) -> Source | None:
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning("cannot read the cache %s (%s): reading the data again", path, error)
        return None
    try:
        if read_text(path.with_suffix(".sha256")).split()[0] != hashlib.sha256(content).hexdigest():
            raise ValueError("its checksum differs")
        stored = load(content)
        names, notes = (tuple(json.loads(stored[key].numpy().tobytes())) for key in _TEXTS)
        tensors = {key: stored[key] for key in _TENSORS}
        return Source(name, **tensors, num_classes=len(names), class_names=names, notes=notes)
    except (OSError, ValueError, LookupError, SafetensorError) as error:
        logger.warning("the cache %s is damaged (%s): reading the data again", path, error)
        return None


class NotDownloadedError(ValueError):
    """The data are not on this machine, and downloads are off (:func:`only_reading`)."""


_absent: set[str] | None = None
"""Names of missing data within :func:`only_reading`, else ``None``."""


@contextmanager
def only_reading() -> Iterator[set[str]]:
    """Turn off downloads and writes to the cache; yields the names of missing data as they occur.

    Reading those raises :class:`NotDownloadedError`.
    """
    global _absent
    outer, _absent = _absent, set()
    try:
        yield _absent
    finally:
        _absent = outer


def check_download(name: str) -> None:
    """Raise :class:`NotDownloadedError` within :func:`only_reading`."""
    if _absent is not None:
        _absent.add(name)
        raise NotDownloadedError(f"{name} is not on this machine")


def _store(source: Source, path: Path) -> None:
    if _absent is not None:
        return
    tensors = {key: getattr(source, key).contiguous() for key in _TENSORS}
    for key in _TEXTS:
        text = json.dumps(getattr(source, key)).encode()
        tensors[key] = torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy())
    content = save(tensors)
    checksum = f"{hashlib.sha256(content).hexdigest()}  {path.name}\n"  # as sha256sum -c reads it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The checksum first, so that a reader that finds the tensors also finds their checksum.
        write_atomically(path.with_suffix(".sha256"), checksum)
        write_atomically(path, content)
    except OSError as error:
        advice = "data.cache_dir=null turns it off, data.cache_dir=DIR moves it"
        logger.warning(
            "cannot write the cache %s (%s): continuing without it; %s", path, error, advice
        )


def stamp(files: Iterable[Path]) -> str:
    """Return a text that changes when a file is added, removed, moved or written to.

    It has every file's absolute path, size in bytes, and the times of the last change of its
    content, which tools may reset, and of its metadata. No file is read.
    """
    lines = []
    for file in files:
        status = file.stat()
        lines.append(f"{file}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}")
    return "\n".join(lines)
