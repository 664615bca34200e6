"""Write each record once to metrics.jsonl and once to each view, such as TensorBoard."""

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from losslab.files import read_bytes, write_atomically
from losslab.recording.results import read_records
from losslab.recording.run import Run
from losslab.types import Curves, Scalars

SECONDS_BETWEEN_FLUSHES = 10.0
"""At most, as an epoch can take an hour while someone is watching."""


class View(Protocol):
    """Shows the records of a run elsewhere, such as in TensorBoard."""

    def open(self, *, start: float, records: Sequence[Mapping[str, Any]]) -> None:
        """Start with the records that a resumed run keeps; ``start`` is in Unix time."""

    def add_record(self, record: Mapping[str, Any]) -> None:
        """Show one record of ``metrics.jsonl``."""

    def add_shown(self, position: Mapping[str, Any], shown: Sequence[Any]) -> None:
        """Show images and histograms at the position of a record."""

    def flush(self) -> None:
        """Make everything so far visible."""

    def close(self, *, success: bool) -> None:
        """Close the view; ``success`` is false for a run that failed or diverged."""


class RecordLog:
    """Append JSON objects, one per line; a resumed run keeps those up to ``after_step``."""

    def __init__(self, path: Path, *, after_step: int | None = None) -> None:
        self.kept = [] if after_step is None else read_records(path, up_to=after_step)
        lines = "".join(json.dumps(record) + "\n" for record in self.kept).encode()
        write_atomically(path, lines)
        self._so_far = hashlib.sha256(lines)
        self._file = path.open("ab")

    def mark(self) -> dict[str, Any]:
        """Return the current size and SHA-256 of the file, for :func:`check_marks`."""
        self.flush()
        return {"bytes": self._file.tell(), "sha256": self._so_far.hexdigest()}

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record; ``ValueError`` for NaN and infinity."""
        line = (json.dumps(record, allow_nan=False) + "\n").encode()
        self._so_far.update(line)
        self._file.write(line)

    def flush(self) -> None:
        """Flush buffers to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close."""
        self._file.close()


class Recorder:
    """Records the metrics of a run and passes them to ``views``; resumes after ``after_step``.

    The run's directory is created if it does not exist.
    """

    def __init__(
        self, run: Run, *, views: Sequence[View] = (), after_step: int | None = None
    ) -> None:
        run.path.mkdir(parents=True, exist_ok=True)
        self._log = RecordLog(run.files.metrics, after_step=after_step)
        self._curves = RecordLog(run.files.curves, after_step=after_step)
        earlier = self._log.kept[-1]["wall_s"] if self._log.kept else 0.0
        self._start = time.time() - earlier
        self._views = views
        for view in views:
            view.open(start=self._start, records=self._log.kept)
        self._flushed = time.monotonic()

    def record(
        self,
        scalars: Scalars,
        *,
        step: int,
        examples: int,
        epoch: float,
        curves: Curves | None = None,
        shown: Sequence[Any] | None = None,
    ) -> None:
        """Write one record at a position in steps, training examples and epochs.

        Scalars that are not finite are left out. ``shown`` are images and histograms for the views.
        """
        position = {
            "step": step,
            "examples": examples,
            "epoch": round(epoch, 6),
            "wall_s": round(time.time() - self._start, 3),
        }
        finite = {tag: value for tag, value in scalars.items() if math.isfinite(value)}
        self._log.append(position | finite)
        if curves:
            self._curves.append(position | curves)
        for view in self._views:
            view.add_record(position | finite)
            if shown:
                view.add_shown(position, shown)
        if time.monotonic() - self._flushed > SECONDS_BETWEEN_FLUSHES:
            self.flush()

    def marks(self) -> dict[str, Any]:
        """Return checksums of the files so far, for :func:`check_marks`."""
        return {"metrics": self._log.mark(), "curves": self._curves.mark()}

    def flush(self) -> None:
        """Make everything so far visible to readers."""
        self._log.flush()
        self._curves.flush()
        for view in self._views:
            view.flush()
        self._flushed = time.monotonic()

    def close(self, *, success: bool) -> None:
        """Close all files; ``success`` is false for a run that failed or diverged."""
        with ExitStack() as each:  # closes all, even if one fails
            for view in self._views:
                each.callback(view.close, success=success)
            each.callback(self._curves.close)
            each.callback(self._log.close)


def check_marks(run: Run, marks: object) -> None:
    """Raise ``ValueError`` unless a run's files start with what :meth:`Recorder.marks` hashed."""
    hashed = marks if isinstance(marks, Mapping) else {}
    for path, key in ((run.files.metrics, "metrics"), (run.files.curves, "curves")):
        mark = hashed.get(key)
        mark = mark if isinstance(mark, Mapping) else {}
        size = mark.get("bytes")
        if type(size) is not int or size < 0:
            raise ValueError(f"there is no checksum of {path.name}")
        content = read_bytes(path) if path.is_file() else b""
        if hashlib.sha256(content[:size]).hexdigest() != mark.get("sha256"):
            raise ValueError(f"{path.name} is cut off or altered")
