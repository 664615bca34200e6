"""One run's folder: the names in it, its status and its lock."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from losslab.recording.files import write_json

Status = Literal["running", "done", "diverged", "failed"]
FINISHED: tuple[Status, ...] = ("done", "diverged")
"""Never run again unless forced: divergence is a result, too."""


@dataclass(frozen=True)
class RunDirectory:
    """``outputs/<name>/<group>/seed=<n>/``.

    Attributes:
        path: The folder; it need not exist yet.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def manifest(self) -> Path:
        """Versions, commit, machine, command, start and end."""
        return self.path / "manifest.json"

    @property
    def metrics(self) -> Path:
        """One JSON object a record."""
        return self.path / "metrics.jsonl"

    @property
    def curves(self) -> Path:
        """What diagnostics saw that is a picture rather than a number, one object a record."""
        return self.path / "curves.jsonl"

    @property
    def summary(self) -> Path:
        """Tag to final number."""
        return self.path / "summary.json"

    @property
    def checkpoint(self) -> Path:
        """There while the run is under way."""
        return self.path / "checkpoint.pt"

    @property
    def model(self) -> Path:
        """The final weights."""
        return self.path / "model.safetensors"

    @property
    def predictions(self) -> Path:
        """Logits and labels of validation and test."""
        return self.path / "predictions.safetensors"

    @property
    def log(self) -> Path:
        """What the run logged, with the traceback if it failed."""
        return self.path / "log.txt"

    @property
    def status(self) -> Status | None:
        """The last status written, ``None`` if there is none that can be read."""
        status: Status | None = self._read_status().get("status")
        return status

    @property
    def error(self) -> str | None:
        """Why the run failed, if it did."""
        return self._read_status().get("error")

    def _read_status(self) -> dict[str, Any]:
        try:
            status = json.loads((self.path / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        return status if isinstance(status, dict) else {}

    def set_status(self, status: Status, *, error: str | None = None) -> None:
        """Write the status; ``done`` and ``diverged`` are written last of all files."""
        write_json(
            self.path / "status.json",
            {"status": status} | ({} if error is None else {"error": error}),
        )

    def clear(self) -> None:
        """Remove what an earlier run left, status first: half a run must not look finished."""
        (self.path / "status.json").unlink(missing_ok=True)
        for path in self.path.iterdir():
            if path.is_file():
                path.unlink()

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Hold the folder; gives False at once if another process has it.

        A lock of the operating system on the folder itself: it needs no file that could be left
        behind, and it is gone when its process is.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)
