"""Write each record once to metrics.jsonl and once to TensorBoard."""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from losslab.recording.about import about
from losslab.recording.record_log import RecordLog, check_mark
from losslab.recording.run_directory import RunDirectory
from losslab.types import Curves, Scalars

SECONDS_BETWEEN_FLUSHES = 10.0
"""At most, while records are made: an epoch may take an hour, and somebody may be looking on."""


class Recorder:
    """The numbers of one run while it trains.

    Args:
        directory: The run's folder, which exists.
        hyper_parameters: For TensorBoard's HParams, without the seed.
        group: The configuration's name there.
        after_step: Records up to this step are kept, for a run that is resumed; ``None`` for a
            fresh one. TensorBoard's file is then written anew, from the kept records and the
            pictures among the old file's events, so that no event is there twice.
    """

    def __init__(
        self,
        directory: RunDirectory,
        *,
        hyper_parameters: dict[str, bool | float | str],
        group: str,
        after_step: int | None = None,
    ) -> None:
        from losslab.recording.tensorboard import TensorBoardWriter  # half a second

        self._log = RecordLog(directory.metrics, after_step=after_step)
        self._curves = RecordLog(directory.curves, after_step=after_step)
        earlier = self._log.kept[-1]["wall_s"] if self._log.kept else 0.0
        self._start = time.time() - earlier
        self._board = TensorBoardWriter(
            Path(directory.path),
            hyper_parameters=hyper_parameters,
            group=group,
            start=self._start,
            texts=about(directory),
            records=self._log.kept,
        )
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
        """Write one record.

        Args:
            scalars: Tag to number; those that are not finite are left out.
            step: Updates made so far.
            examples: Training examples seen so far; the x-axis in TensorBoard.
            epoch: Passes over the training part made so far, with its fraction.
            curves: Name to columns of numbers, for ``curves.jsonl``.
            shown: Pictures and histograms, as values of a TensorBoard summary.
        """
        position = {
            "step": step,
            "examples": examples,
            "epoch": round(epoch, 6),
            "wall_s": round(time.time() - self._start, 3),
        }
        finite = {tag: value for tag, value in scalars.items() if math.isfinite(value)}
        self._log.append(position | finite)
        self._board.add_record(position | finite)
        if curves:
            self._curves.append(position | curves)
        if shown:
            self._board.add_shown(position, shown)
        if time.monotonic() - self._flushed > SECONDS_BETWEEN_FLUSHES:
            self.flush()

    def marks(self) -> dict[str, Any]:
        """Return what :func:`check_marks` needs to know the files again by."""
        return {"metrics": self._log.mark(), "curves": self._curves.mark()}

    def flush(self) -> None:
        """Make everything so far visible to readers."""
        self._log.flush()
        self._curves.flush()
        self._board.flush()
        self._flushed = time.monotonic()

    def close(self, *, success: bool) -> None:
        """Close all files.

        Args:
            success: The status in TensorBoard's HParams: false for a run that failed or diverged.
        """
        with ExitStack() as all_three:  # the others, too, where one cannot be written
            all_three.callback(self._board.close, success=success)
            all_three.callback(self._curves.close)
            all_three.callback(self._log.close)


def check_marks(directory: RunDirectory, marks: object) -> None:
    """Check that a run's records are those of :meth:`Recorder.marks`, and maybe more.

    Raises:
        ValueError: A file is missing, cut off or altered, or the marks are none.
    """
    known = marks if isinstance(marks, Mapping) else {}
    check_mark(directory.metrics, known.get("metrics"))
    check_mark(directory.curves, known.get("curves"))
