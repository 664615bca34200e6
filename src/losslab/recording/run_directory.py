"""One run's folder: the names in it, its status and its lock."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from losslab.files import (
    LOCK_FILE,
    checksum,
    first_altered,
    is_intact,
    lock,
    read_json,
    sealed,
    write_json,
)

Status = Literal["running", "done", "diverged", "failed"]
FINISHED: tuple[Status, ...] = ("done", "diverged")
"""Not run again unless forced; divergence is a result."""


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
        """One JSON object per record."""
        return self.path / "metrics.jsonl"

    @property
    def curves(self) -> Path:
        """What diagnostics recorded as columns, such as profiles; one JSON object per record."""
        return self.path / "curves.jsonl"

    @property
    def summary(self) -> Path:
        """The final numbers, by tag."""
        return self.path / "summary.json"

    @property
    def checkpoint(self) -> Path:
        """It exists while the run is under way."""
        return self.path / "checkpoint.pt"

    @property
    def model(self) -> Path:
        """The final weights."""
        return self.path / "model.safetensors"

    @property
    def about_model(self) -> Path:
        """What is needed to use the final weights."""
        return self.path / "model.json"

    @property
    def loss(self) -> Path:
        """The loss's own parameters and buffers, if it has any."""
        return self.path / "loss.safetensors"

    @property
    def predictions(self) -> Path:
        """Logits and labels of validation and test."""
        return self.path / "predictions.safetensors"

    @property
    def log(self) -> Path:
        """What the run logged, with the traceback if it failed."""
        return self.path / "log.txt"

    @property
    def results(self) -> tuple[Path, ...]:
        """The files whose checksums are kept when the run is finished."""
        return (
            *(self.config, self.manifest, self.metrics, self.curves, self.summary),
            *(self.model, self.about_model, self.loss, self.predictions),
        )

    @property
    def status(self) -> Status | None:
        """The last status written, ``None`` if none can be read."""
        return _known(self._read_status().get("status"))

    @property
    def ends_as(self) -> Status | None:
        """How a run ended that was killed within :meth:`finish`, all its results there."""
        status = self._read_status()
        return None if self._first_altered(status) else _known(status.get("ends_as"))

    @property
    def altered(self) -> str | None:
        """The first result that was altered since the run ended, ``None`` if there is none."""
        before = self._read_status()
        name = self._first_altered(before)
        # Unless another process has begun to run it again meanwhile.
        return name if self._read_status() == before else None

    def read(self, path: Path) -> bytes:
        """Return the content of one of the results.

        Raises:
            ValueError: It was altered since the run ended.
        """
        content = path.read_bytes()
        checksums = self._read_status().get("sha256")
        expected = checksums.get(path.name) if isinstance(checksums, Mapping) else None
        if expected not in (None, hashlib.sha256(content).hexdigest()):
            raise ValueError(
                f"{path} was cut off or altered since its run ended; put the original back, or "
                "train that run again with force=true"
            )
        return content

    def _first_altered(self, status: dict[str, Any]) -> str | None:
        return first_altered(self.path, status.get("sha256"))

    @property
    def error(self) -> str | None:
        """Why the run failed, if it did."""
        return self._read_status().get("error")

    def _read_status(self) -> dict[str, Any]:
        try:
            status = read_json(self.path / "status.json")
        except ValueError:
            return {}
        return status if is_intact(status) else {}

    def set_status(self, status: Status, *, error: str | None = None) -> None:
        """Write the status."""
        self._write_status({"status": status} | ({} if error is None else {"error": error}))

    def finish(self, status: Status) -> None:
        """End a run whose results are written: forget its checkpoint, write the status.

        A run that is killed within this is ended by calling it again with :attr:`ends_as`.
        """
        kept = {path.name: checksum(path) for path in self.results if path.is_file()}
        self._write_status({"status": "running", "ends_as": status, "sha256": kept})
        self.checkpoint.unlink(missing_ok=True)
        self._write_status({"status": status, "sha256": kept})

    def _write_status(self, value: dict[str, Any]) -> None:
        write_json(self.path / "status.json", sealed(value))

    def clear(self) -> None:
        """Remove an earlier run's files, its status first: half a run must not look finished."""
        (self.path / "status.json").unlink(missing_ok=True)
        for path in self.path.iterdir():
            if path.name != LOCK_FILE and (not path.is_dir() or path.is_symlink()):
                path.unlink()

    def tidy(self) -> None:
        """Remove files that a killed process left half written, links and pipes."""
        for path in self.path.iterdir():
            if path.match(".*.tmp") or path.is_symlink() or not (path.is_file() or path.is_dir()):
                path.unlink()

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Lock the folder; gives False at once if another process has it.

        See :func:`losslab.files.lock`.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with lock(self.path) as mine:
            yield mine

    @property
    def held(self) -> bool:
        """Whether a running process has locked the folder."""
        if not self.path.is_dir():
            return False
        with self.lock() as mine:
            return not mine


def _known(status: object) -> Status | None:
    return next((known for known in get_args(Status) if known == status), None)
