"""What TensorBoard cannot do itself: a configuration over its seeds, as a run of its own.

Its curves are means, with the tags ``<tag>/mean``, ``<tag>/lo`` and ``<tag>/hi`` over examples,
which the margin charts of the Custom Scalars page draw; its images are those of all seeds.
"""

import hashlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special
from tensorboard.compat.proto.summary_pb2 import Summary

from losslab.files import beside, is_generated
from losslab.metrics import RANGES
from losslab.tensorboard.events import EventFile
from losslab.tensorboard.layout import HIGH, LAYOUT_TAGS, LOW, MEAN, seeds_layout
from losslab.tensorboard.summaries import scalars

FloatArray = npt.NDArray[np.float64]

FOLDER = "over_seeds"
"""Beside the configurations; no run is in it, as runs are in folders ``seed=<n>``."""

LEVEL = 0.95
_SUFFIX = ".over_seeds"


class Seed(NamedTuple):
    """The curves of one finished run.

    Attributes:
        records: Of its evaluations: tag to number, with places and ``wall_s``.
        diverged: Whether it ended early.
    """

    records: Sequence[Mapping[str, float]]
    diverged: bool = False


class Means(NamedTuple):
    """The curves of one configuration.

    Attributes:
        x: ``(E,)`` training examples seen, or epochs, ascending.
        seconds: ``(E,)`` since the start, mean over seeds.
        tags: T names: of each tag its mean, then the ends of its interval.
        values: ``(T, E)`` numbers, NaN where there is none.
    """

    x: FloatArray
    seconds: FloatArray
    tags: tuple[str, ...]
    values: FloatArray


def write_configuration(
    folder: Path,
    seeds: Sequence[Seed],
    *,
    start: float,
    show: Callable[[], Sequence["Summary.Value"]] = list,
    shown_of: bytes = b"",
) -> Path | None:
    """Write the means and images of a configuration, unless they are there already.

    Args:
        folder: Of the configuration, in :data:`FOLDER`.
        seeds: Its finished runs.
        start: Unix time of the first one, in seconds.
        show: Draws its images; called only where the file is to be written.
        shown_of: A digest of what they are drawn from.

    Returns:
        The file, ``None`` where no run recorded a tag of the layout.
    """
    means = means_over_seeds(seeds, LAYOUT_TAGS)
    if not means.tags:
        return None
    layout = seeds_layout()
    # Named after what is in it, so that what has not changed need not be written again, and what
    # has is a new file to a TensorBoard that looks on.
    digest = hashlib.sha256(f"{start} {means.tags}".encode() + layout.SerializeToString())
    for part in (means.x, means.seconds, means.values):
        digest.update(part.tobytes())
    digest.update(shown_of)
    path = folder / f"events.out.tfevents.{start:.0f}.{digest.hexdigest()[:16]}{_SUFFIX}"
    if path.exists():
        return path
    shown = show()
    folder.mkdir(parents=True, exist_ok=True)
    with beside(path) as temporary:
        file = EventFile(temporary, wall_time=start)
        file.add([layout], wall_time=start)
        rows = zip(means.x.tolist(), means.seconds.tolist(), means.values.T, strict=True)
        for examples, seconds, row in rows:
            known = {
                tag: value
                for tag, value in zip(means.tags, row.tolist(), strict=True)
                if math.isfinite(value)
            }
            file.add(scalars(known), step=int(examples), wall_time=start + seconds)
        file.add(shown, step=int(means.x[-1]), wall_time=start + float(means.seconds[-1]))
        file.close()
    return path


def remove_others(folder: Path, written: Collection[Path]) -> None:
    """Remove from :data:`FOLDER` the files of configurations that are no longer there."""
    for path in filter(is_generated, set(folder.rglob(f"*{_SUFFIX}")) - set(written)):
        path.unlink(missing_ok=True)  # by another report meanwhile
        with suppress(OSError):  # it is not empty
            path.parent.rmdir()


def means_over_seeds(
    seeds: Sequence[Seed], tags: Sequence[str], *, over: str = "examples"
) -> Means:
    """Return mean and Student's t interval (95%) of each tag over the seeds of a configuration.

    A run that diverged keeps its last number to the end: left out, it would make the mean better
    just where it fails. Where a single seed has a number, the ends of the interval are the mean:
    a margin chart shows an error unless all three have the same steps.

    Args:
        seeds: Of one configuration.
        tags: Which to average; one that no run recorded is absent.
        over: What the places are, ``examples`` or ``epoch``.
    """
    records = [[r for r in seed.records if over in r] for seed in seeds]
    seen = set().union(*(record.keys() for each in records for record in each))
    recorded = [tag for tag in tags if tag in seen]
    x = np.unique([record[over] for each in records for record in each])
    # (seeds, tags and seconds, places)
    table = np.full((len(seeds), len(recorded) + 1, len(x)), np.nan)
    for row, seed, each in zip(table, seeds, records, strict=True):
        for record in each:
            place = np.searchsorted(x, record[over])
            row[:, place] = [record.get(tag, np.nan) for tag in (*recorded, "wall_s")]
        if seed.diverged:
            _hold_last(row)
    present = ~np.isnan(table)
    n = present.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(present, table, 0).sum(axis=0) / n
        squares = np.where(present, (table - mean) ** 2, 0).sum(axis=0)
        error = np.sqrt(squares / (n - 1) / n)
        half = np.where(n == 1, 0.0, error * special.stdtrit(n - 1, (1 + LEVEL) / 2))
    values = np.empty((len(recorded), 3, len(x)))
    for index, tag in enumerate(recorded):
        lowest, highest = RANGES.get(tag.partition("/")[2], (-np.inf, np.inf))
        low, high = mean[index] - half[index], mean[index] + half[index]
        values[index] = mean[index], np.maximum(low, lowest), np.minimum(high, highest)
    return Means(
        x=x,
        seconds=np.nan_to_num(mean[-1]),
        tags=tuple(f"{tag}/{part}" for tag in recorded for part in (MEAN, LOW, HIGH)),
        values=values.reshape(3 * len(recorded), len(x)),
    )


def _hold_last(row: FloatArray) -> None:
    """Fill what a run did not reach with the last number of each tag, ``(T, E)`` in place."""
    for numbers in row:
        known = np.flatnonzero(~np.isnan(numbers))
        if len(known):
            numbers[known[-1] + 1 :] = numbers[known[-1]]
