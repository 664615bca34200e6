"""Published data sets: found on disk or downloaded, all files or none."""

import contextlib
import io
import socket
import sys
import tempfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

from losslab.data.cache import cached, check_download, stamp
from losslab.data.source import Source
from losslab.files import expanded, one_line

TIMEOUT_S = 30.0
"""Seconds without an answer after which a server counts as unavailable."""


def torchvision(name: str) -> Any:
    """Return torchvision's data set class of that name, which knows addresses and checksums."""
    # Imported here: it takes seconds, and only the first read needs it.
    from torchvision import datasets

    return getattr(datasets, name)


@dataclass(frozen=True)
class Published(ABC):
    """A published data set under a torchvision root."""

    name: str  # losslab's
    torchvision_name: str  # of torchvision's class, which downloads it
    folder: str  # below the root, where the archives belong
    archives: tuple[str, ...]  # their file names

    @abstractmethod
    def find(self, root: Path) -> tuple[list[Path], list[str]]:
        """Return the existing files and the names of missing archives."""

    @abstractmethod
    def read(self, root: Path, files: list[Path]) -> Source:
        """Verify and read the files that :meth:`find` returned."""

    def source(self, root: str | Path, *, download: bool, cache_dir: str | Path | None) -> Source:
        """Find the files, or download them if ``download``, and read them or the cache."""
        root = expanded(root).absolute()
        files, missing = self.find(root)
        if missing:
            folder = root / self.folder
            advice = (
                f"use data=mnist5k (needs no download), or put {', '.join(self.archives)} under "
                f"{folder} and give data={self.name} data.root=..."
            )
            if not download:
                raise ValueError(
                    f"{self.name}: {missing[0]} is not under {folder} and download=false; {advice}"
                )
            check_download(self.name)
            _download(torchvision(self.torchvision_name), root, self.name, advice)
            files, _ = self.find(root)
        read = partial(self.read, root, files)
        return cached(read, cache_dir=cache_dir, name=self.name, fingerprint=stamp(files))


def damaged(file: Path, reason: str, *, delete: str = "it") -> ValueError:
    """Return the error for a file that differs from the published one."""
    return ValueError(
        f"truncated or altered: {file} ({reason}); delete {delete} and run again with "
        "data.download=true, put the original in its place, or use data=mnist5k"
    )


def _download(fetch: Callable[..., object], root: Path, name: str, advice: str) -> None:
    """Let ``fetch`` download into a temporary folder in ``root``, then move its files into place.

    A failed download leaves no files, and concurrent downloads do not interfere.
    """
    new_folders = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as folder:
            with _quiet_with_timeout():
                fetch(folder, download=True)
            for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
                target = root / file.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                file.replace(target)
    except (OSError, RuntimeError, HTTPException, EOFError, zlib.error) as error:
        for new_folder in new_folders:
            with contextlib.suppress(OSError):  # it was not created, or has been used meanwhile
                new_folder.rmdir()
        raise ValueError(f"{name}: the download failed ({one_line(error)}); {advice}") from error


@contextlib.contextmanager
def _quiet_with_timeout() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.callback(socket.setdefaulttimeout, socket.getdefaulttimeout())
        socket.setdefaulttimeout(TIMEOUT_S)
        if not sys.stderr.isatty():  # no progress bar in log files
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        yield
