"""Write each configuration, averaged over its seeds, as one more TensorBoard run.

Its scalars ``<tag>/mean``, ``<tag>/lo`` and ``<tag>/hi`` over training examples feed the margin
charts of the Custom Scalars page; its images cover all seeds.
"""

import hashlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from scipy import special

from losslab.files import beside, check_generated, is_generated
from losslab.metrics import RANGES
from losslab.recording import Run
from losslab.report.runs import by_group, sweep_folder
from losslab.report.statistics import LEVEL, FloatArray
from losslab.tensorboard import (
    INTERVAL,
    LAYOUT_TAGS,
    EventFile,
    image,
    precision_recall_curves,
    scalars,
    seeds_layout,
)
from losslab.types import Scalars

FOLDER = "over_seeds"
"""Next to the configurations. Never taken for a run, as those are in folders ``seed=<n>``."""

SUFFIX = ".over_seeds"
"""Ends the name of every event file with means; losslab removes no other."""

_MOST_DRAWN = 200  # configurations; nobody looks at the images of more
_SHOWN = ("model.safetensors", "predictions.safetensors", "curves.jsonl")


def write_over_seeds(
    root: Path, runs: Sequence[Run], console: Console | None = None
) -> Path | None:
    """Write means, images, precision and recall of all configurations with a finished run.

    Unchanged files are kept, those of configurations that no longer exist are removed. Images take
    half a second each; beyond 200 configurations there are none. Returns the folder, ``None``
    without finished runs.
    """
    groups = by_group(run for run in runs if run.finished)
    if not groups:
        return None
    above = sweep_folder(runs)
    folder = above / FOLDER
    for group in groups:
        check_generated(folder / group, below=above)
    console = console or Console(quiet=True)
    drawn = len(groups) <= _MOST_DRAWN
    bar: dict[str, Any] = {"console": console, "transient": True}
    every = track(groups.items(), "Images for TensorBoard", disable=not console.is_terminal, **bar)
    written = {_write(folder / group, members, drawn=drawn) for group, members in every} - {None}
    if above == root.resolve():
        remove_others(folder, written)
    return folder if written else None


def remove_others(folder: Path, kept: Collection[Path | None]) -> None:
    """Remove the event files of earlier reports that are not among ``kept``."""
    for path in filter(is_generated, set(folder.rglob(f"*{SUFFIX}")).difference(kept)):
        path.unlink(missing_ok=True)  # another report may have removed it
        with suppress(OSError):  # not empty
            path.parent.rmdir()


def _write(folder: Path, runs: Sequence[Run], *, drawn: bool) -> Path | None:
    """Write the event file of a configuration; return ``None`` without a tag of the layout."""
    means = means_over_seeds(runs, LAYOUT_TAGS)
    if not means.tags:
        return None
    files = [run.path / name for run in runs if drawn for name in _SHOWN]
    hashes = (hashlib.sha256(path.read_bytes()).digest() for path in files if path.exists())
    return write_means(
        folder,
        means,
        start=start_of(runs[0]),
        names={tag: (tag,) for tag in means.tags},
        of=b"".join(hashes),
        shown=(lambda: _shown(runs)) if drawn else list,
    )


def write_means(
    folder: Path,
    means: "Means",
    *,
    start: float,
    names: Mapping[str, Sequence[str]],
    of: bytes,
    shown: Callable[[], list[Any]],
) -> Path:
    """Write means as an event file unless it exists; return its path.

    Args:
        folder: Where the file goes.
        means: Of at least one tag.
        start: Unix time, by which TensorBoard orders runs.
        names: Maps each tag to the tags under which it is written.
        of: A digest of what ``shown`` returns.
        shown: Returns images and curves for the last step; called only if the file is written.
    """
    layout = seeds_layout({tag.rpartition("/")[0] for tag in names if tag.endswith("/lo")})
    # Named by its content: unchanged files are not written again, and a running TensorBoard loads
    # changed ones.
    about = f"{start} {means.tags} {names}".encode()
    digest = hashlib.sha256(about + layout.SerializeToString() + of)
    for part in (means.x, means.seconds, means.values):
        digest.update(part.tobytes())
    path = folder / f"events.out.tfevents.{start:.0f}.{digest.hexdigest()[:16]}{SUFFIX}"
    if path.exists():
        return path
    last = shown()
    folder.mkdir(parents=True, exist_ok=True)
    with beside(path) as temporary:
        file = EventFile(temporary, wall_time=start)
        file.add([layout], wall_time=start)
        rows = zip(means.x.tolist(), means.seconds.tolist(), means.values.T.tolist(), strict=True)
        for examples, seconds, row in rows:
            known = {tag: v for tag, v in zip(means.tags, row, strict=True) if math.isfinite(v)}
            named = {name: known[tag] for tag in names if tag in known for name in names[tag]}
            file.add(scalars(named), step=int(examples), wall_time=start + seconds)
        file.add(last, step=int(means.x[-1]), wall_time=start + float(means.seconds[-1]))
        file.close()
    return path


class Means(NamedTuple):
    """The curves of one configuration."""

    x: FloatArray  # (E,) training examples seen, or epochs, ascending
    seconds: FloatArray  # (E,) since the start, mean over seeds
    tags: tuple[str, ...]  # T names: of each tag its mean, then the ends of its interval
    values: FloatArray  # (T, E), NaN where there is none


def means_over_seeds(
    runs: Sequence[Run],
    tags: Sequence[str],
    *,
    over: str = "examples",
    records: Sequence[Sequence[Scalars]] | None = None,
) -> Means:
    """Return the mean of each tag over seeds, with its 95% interval by Student's t.

    A diverged run keeps its last value to the end; dropping it would improve the mean exactly where
    training failed. TensorBoard's margin charts fail unless mean and both ends have the same steps:
    with a single seed the ends equal the mean, and if one of the three overflows float32, all are
    NaN.

    Args:
        runs: Of one configuration.
        tags: Those that no run recorded are left out.
        over: The x axis, ``examples`` or ``epoch``.
        records: Of each run; by default those with validation metrics.
    """
    records = [run.evaluations for run in runs] if records is None else records
    records = [[record for record in each if over in record] for each in records]
    seen = set().union(*(record for each in records for record in each))
    tags = [tag for tag in tags if tag in seen]
    x = np.unique([record[over] for each in records for record in each])
    tables = []
    for run, each in zip(runs, records, strict=True):
        table = pd.DataFrame(each, columns=[over, *tags, "wall_s"]).astype(float)
        table = table.groupby(over).last().reindex(x)
        if run.status == "diverged":
            table = table.where(table.bfill().notna(), table.ffill())
        tables.append(table)
    numbers = np.array(tables).reshape(len(runs), len(x), len(tags) + 1)
    present = ~np.isnan(numbers)
    n = present.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = np.where(present, numbers, 0).sum(axis=0) / n
        squares = np.where(present, (numbers - mean) ** 2, 0).sum(axis=0)
        error = np.sqrt(squares / (n - 1) / n)
        half = np.where(n == 1, 0.0, error * special.stdtrit(n - 1, (1 + LEVEL) / 2))
    ranges = [RANGES.get(tag.partition("/")[2], (-np.inf, np.inf)) for tag in tags]
    low, high = np.array([*ranges, (-np.inf, np.inf)]).T
    values = np.stack([mean, np.maximum(mean - half, low), np.minimum(mean + half, high)])
    with np.errstate(over="ignore"):
        values[:, ~np.isfinite(values.astype(np.float32)).all(axis=0)] = np.nan
    return Means(
        x=x,
        seconds=np.nan_to_num(mean[:, -1]),
        tags=tuple(f"{tag}/{part}" for tag in tags for part in INTERVAL),
        values=values[:, :, :-1].transpose(2, 0, 1).reshape(3 * len(tags), len(x)),
    )


def _shown(runs: Sequence[Run]) -> list[Any]:
    """Return images and precision-recall curves of the runs that did not diverge."""
    from losslab.figures.run_images import read_recorded, run_images  # imports matplotlib

    found = [read_recorded(run) for run in runs if run.status == "done"]
    recorded = [each for each in found if each and np.isfinite(each.logits).all()]
    if not recorded:
        return []
    group = runs[0].group.rpartition("/")[2]
    loss = runs[0].config.get("loss")
    prior = loss.get("prior") if isinstance(loss, Mapping) else None
    prior = prior if isinstance(prior, Mapping) else {}
    name = group.rpartition("-")[0] or group
    images = run_images(recorded, name=name, loss=group.partition("-")[0], prior=prior)
    shown = [image(tag, *each) for tag, each in images.items()]
    tested = [each for each in recorded if np.isfinite(each.test_logits).all()]
    if tested:
        logits = np.concatenate([each.test_logits for each in tested])
        labels = np.concatenate([each.test_labels for each in tested])
        shown += precision_recall_curves(logits, labels, tested[0].class_names)
    return shown


def start_of(run: Run) -> float:
    """Return the Unix time at which a run started, 0 if unknown."""
    try:
        return datetime.fromisoformat(str(run.manifest.get("start"))).timestamp()
    except ValueError:
        return 0.0
