"""Downloads that leave either all the files or none."""

import contextlib
import io
import socket
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path

TIMEOUT_S = 30.0
"""Seconds without an answer, after which a server counts as not there."""


def advice(dataset: str, *, files: str, folder: Path) -> str:
    """Return what to do where a data set's files are not to be had."""
    return (
        f"use data=mnist5k (needs no download), or put {files} under {folder} "
        f"and say data={dataset} data.root=..."
    )


def download(fetch: Callable[[str], object], root: Path, *, dataset: str, what_else: str) -> None:
    """Let ``fetch`` download into a new folder inside ``root``, then move its files into place.

    A download that breaks off leaves nothing behind, and two processes at once do not write into
    each other's files.

    Args:
        fetch: Downloads into the folder it is given, e.g. a torchvision data set's constructor.
        root: Where the files belong; made if it is not there.
        dataset: What the message calls the data set.
        what_else: What to do instead, for the message.

    Raises:
        ValueError: The download failed.
    """
    new_folders = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as folder:
            with _quiet_and_impatient():
                fetch(folder)
            for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
                place = root / file.relative_to(folder)
                place.parent.mkdir(parents=True, exist_ok=True)
                file.replace(place)
    except (OSError, RuntimeError, HTTPException, EOFError, zlib.error) as error:
        for new in new_folders:
            with contextlib.suppress(OSError):  # it was never made, or has been used meanwhile
                new.rmdir()
        reason = " ".join(str(error).split())
        raise ValueError(f"{dataset}: the download failed ({reason}); {what_else}") from error


@contextlib.contextmanager
def _quiet_and_impatient() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        with contextlib.ExitStack() as stack:
            if not sys.stderr.isatty():
                # The progress bar: a log file has no use for it.
                stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            yield
    finally:
        socket.setdefaulttimeout(before)
