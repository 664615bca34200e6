"""What TensorBoard cannot do itself: curves averaged over seeds, one run a configuration.

Each has the tags ``<tag>/mean``, ``<tag>/lo`` and ``<tag>/hi`` over examples, which the margin
charts of the Custom Scalars page draw. Imports TensorBoard's protocol buffers, no torch.
"""

import hashlib
import math
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import special

from losslab.board import HIGH, LAYOUT_TAGS, LOW, MEAN, EventFile, scalars, seeds_layout
from losslab.files import beside, check_generated, is_generated
from losslab.metrics import RANGES
from losslab.report.runs import Run
from losslab.report.statistics import LEVEL, FloatArray

FOLDER = "over_seeds"
"""Beside the configurations; no run is in it, as runs are in folders ``seed=<n>``."""


_SUFFIX = ".over_seeds"


class Means(NamedTuple):
    """The curves of one configuration.

    Attributes:
        examples: ``(E,)`` training examples seen, ascending.
        seconds: ``(E,)`` since the start, mean over seeds.
        tags: T names: of each tag its mean, then the ends of its interval.
        values: ``(T, E)`` numbers, NaN where there is none.
    """

    examples: FloatArray
    seconds: FloatArray
    tags: tuple[str, ...]
    values: FloatArray


def write_over_seeds(root: Path, runs: Sequence[Run]) -> Path | None:
    """Write the means over seeds of all configurations with a finished run.

    Written again for the same runs, the files are left as they are; those of configurations that
    are no longer there are removed.

    Args:
        root: The folder of a study or a sweep, of a configuration or of a run.
        runs: What it holds.

    Returns:
        The folder, ``None`` where no run is finished.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.finished:
            groups.setdefault(run.group, []).append(run)
    if not groups:
        return None
    above = _above(runs[0])
    folder = above / FOLDER
    for group in groups:
        check_generated(folder / group, below=above)
    written = {
        _write(folder / group, means, start=_start(members[0]))
        for group, members in groups.items()
        if (means := means_over_seeds(members, LAYOUT_TAGS)).tags
    }
    if above == root.resolve():
        for path in filter(is_generated, set(folder.rglob(f"*{_SUFFIX}")) - written):
            path.unlink(missing_ok=True)  # by another report meanwhile
            with suppress(OSError):  # it is not empty
                path.parent.rmdir()
    return folder if written else None


def _above(run: Run) -> Path:
    return run.path.parents[len(Path(run.name).parts) - 1]


def _write(folder: Path, means: Means, *, start: float) -> Path:
    layout = seeds_layout()
    # Named after what is in it, so that what has not changed need not be written again, and what
    # has is a new file to a TensorBoard that looks on.
    digest = hashlib.sha256(f"{start} {means.tags}".encode() + layout.SerializeToString())
    for numbers in (means.examples, means.seconds, means.values):
        digest.update(numbers.tobytes())
    path = folder / f"events.out.tfevents.{start:.0f}.{digest.hexdigest()[:16]}{_SUFFIX}"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with beside(path) as temporary:
        file = EventFile(temporary, wall_time=start)
        file.add([layout], wall_time=start)
        rows = zip(means.examples.tolist(), means.seconds.tolist(), means.values.T, strict=True)
        for examples, seconds, row in rows:
            known = {
                tag: value
                for tag, value in zip(means.tags, row.tolist(), strict=True)
                if math.isfinite(value)
            }
            file.add(scalars(known), step=int(examples), wall_time=start + seconds)
        file.close()
    return path


def _start(run: Run) -> float:
    """Return the Unix time of a run's start, 0 where it is not known."""
    try:
        return datetime.fromisoformat(str(run.manifest.get("start"))).timestamp()
    except ValueError:
        return 0.0


def means_over_seeds(runs: Sequence[Run], tags: Sequence[str]) -> Means:
    """Return mean and Student's t interval (95%) of each tag over the seeds of a configuration.

    A run that diverged keeps its last number to the end: left out, it would make the mean better
    just where it fails. Of a single seed there is a mean and no interval.

    Args:
        runs: Finished, of one configuration.
        tags: Which to average; one that no run recorded is absent.
    """
    records = [[r for r in run.evaluations if "examples" in r] for run in runs]
    seen = set().union(*(record.keys() for each in records for record in each))
    recorded = [tag for tag in tags if tag in seen]
    examples = np.unique([record["examples"] for each in records for record in each])
    # (seeds, tags and seconds, places)
    table = np.full((len(runs), len(recorded) + 1, len(examples)), np.nan)
    for row, run, each in zip(table, runs, records, strict=True):
        for record in each:
            place = np.searchsorted(examples, record["examples"])
            row[:, place] = [record.get(tag, np.nan) for tag in (*recorded, "wall_s")]
        if run.status == "diverged":
            _hold_last(row)
    present = ~np.isnan(table)
    n = present.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(present, table, 0).sum(axis=0) / n
        squares = np.where(present, (table - mean) ** 2, 0).sum(axis=0)
        error = np.sqrt(squares / (n - 1) / n)
        half = error * special.stdtrit(n - 1, (1 + LEVEL) / 2)
    values = np.empty((len(recorded), 3, len(examples)))
    for index, tag in enumerate(recorded):
        lowest, highest = RANGES.get(tag.partition("/")[2], (-np.inf, np.inf))
        low, high = mean[index] - half[index], mean[index] + half[index]
        values[index] = mean[index], np.maximum(low, lowest), np.minimum(high, highest)
    return Means(
        examples=examples,
        seconds=np.nan_to_num(mean[-1]),
        tags=tuple(f"{tag}/{part}" for tag in recorded for part in (MEAN, LOW, HIGH)),
        values=values.reshape(3 * len(recorded), len(examples)),
    )


def _hold_last(row: FloatArray) -> None:
    """Fill what a run did not reach with the last number of each tag, ``(T, E)`` in place."""
    for numbers in row:
        known = np.flatnonzero(~np.isnan(numbers))
        if len(known):
            numbers[known[-1] + 1 :] = numbers[known[-1]]
