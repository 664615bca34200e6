"""Write means over seeds as additional TensorBoard runs: each configuration, each loss at its best.

``over_seeds/<group>`` has the scalars ``<tag>/mean``, ``<tag>/lo`` and ``<tag>/hi`` of each
configuration over training examples, which feed the margin charts of the Custom Scalars page, and
images that cover all seeds. ``best`` has each loss at its best learning rate: TensorBoard's classic
pages select no run if there are more than 40, so the links show these few instead.
"""

import hashlib
import math
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from scipy import special

from losslab.figures import LOSS_STYLES
from losslab.files import beside, check_generated, is_generated
from losslab.metrics import RANGES
from losslab.recording import Run
from losslab.recording.results import read_scalars
from losslab.report.plan import Plan, Side
from losslab.report.runs import DATASET, by_group, naming_keys, settings, sweep_folder
from losslab.report.statistics import LEVEL, FloatArray
from losslab.report.sweep_report import key_text, value_text
from losslab.report.tuning import select, tuning_points
from losslab.tensorboard import (
    INTERVAL,
    LAYOUT_TAGS,
    PALETTE,
    EventFile,
    image,
    is_shown,
    precision_recall_curves,
    read_events,
    scalars,
    seeds_layout,
)
from losslab.types import Scalars
from losslab.workers import cores, in_workers

FOLDER, BEST = "over_seeds", "best"
"""Next to the configurations. Never taken for runs, as those are in folders ``seed=<n>``."""

SUFFIX = ".over_seeds"
"""Ends the name of every event file with means; losslab removes no other."""

_MOST_DRAWN = 200  # configurations
_DRAWN_FILES = ("model.safetensors", "predictions.safetensors", "curves.jsonl")
_LONGEST_NAME = 100
_MOST_WORKERS = 8
_MIN_PER_WORKER = 4  # configurations; fewer are drawn faster than a worker starts


def write_over_seeds(root: Path, runs: Sequence[Run], console: Console | None) -> None:
    """Write means, images, precision and recall of all configurations with a finished run.

    Unchanged files are kept; those of configurations that no longer exist are removed. Images take
    half a second per configuration, on all cores; beyond 200 configurations there are none.
    """
    groups = by_group(run for run in runs if run.finished)
    if not groups:
        return
    above = sweep_folder(runs)
    folder = above / FOLDER
    for group in groups:
        check_generated(folder / group, below=above)
    console = console or Console(quiet=True)
    write = partial(_write_group, folder, draw=len(groups) <= _MOST_DRAWN)
    new = sum(not any((folder / group).glob(f"*{SUFFIX}")) for group in groups)
    workers = max(1, min(cores(), new // _MIN_PER_WORKER, _MOST_WORKERS))
    bar: dict[str, Any] = {"console": console, "transient": True, "total": len(groups)}
    bar["disable"] = not console.is_terminal

    def shown(paths: Iterable[Path | None]) -> set[Path | None]:
        return set(track(paths, "Images for TensorBoard", **bar))

    try:
        written = shown(in_workers(write, groups.items(), workers=workers))
    except BrokenProcessPool:  # a worker was killed
        written = shown(map(write, groups.items()))
    if above == root.resolve():
        _remove_others(folder, written)


def _write_group(folder: Path, named: tuple[str, Sequence[Run]], *, draw: bool) -> Path | None:
    """Write the event file of a configuration; return ``None`` without a tag of the layout."""
    group, runs = named
    means = means_over_seeds(runs, LAYOUT_TAGS)
    if not means.tags:
        return None
    files = [run.path / name for run in runs if draw for name in _DRAWN_FILES]
    hashes = (hashlib.sha256(path.read_bytes()).digest() for path in files if path.exists())
    return _write_means(
        folder / group,
        means,
        start=_start_of(runs[0]),
        names={tag: (tag,) for tag in means.tags},
        source=b"".join(hashes),
        draw=(lambda: _drawn(runs)) if draw else list,
    )


def write_best(root: Path, runs: Sequence[Run], plan: Plan | None) -> None:
    """Write each loss at its chosen rate, averaged over seeds, under the tags of its runs.

    The runs have readable names, ``best/mse_softmax lr=1``. The space after the loss lets a filter
    tell ``mse`` from ``mse_softmax``. Writes nothing for a part of a study or sweep. Unchanged
    files are kept, outdated ones removed.
    """
    chosen = _best_of_study(plan, runs) if plan and plan.arms else _best_of_sweep(runs)
    if not chosen or sweep_folder(runs) != root.resolve():
        return
    folder = root / BEST
    for name in chosen:
        check_generated(folder / name, below=root)
    # TensorBoard assigns colours in the order of start times: these runs start before all others,
    # a millisecond apart.
    order = _nearest_colors({name: members[0].loss for name, members in chosen.items()})
    first = min(_start_of(run) for run in runs if run.finished) - 1
    written = set()
    for name, members in chosen.items():
        start = first + order[name.partition(" ")[0]] / 1000
        files = sorted((root / FOLDER / members[0].group).glob(f"*{SUFFIX}"))
        written.add(_write_chosen(folder / name, members, start, images_from=files[-1:]))
    _remove_others(folder, written)


def _best_of_study(plan: Plan, runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs of each arm at its own value: confirming runs, or else tuning runs."""
    by_name = {run.name: run for run in runs if run.finished}
    choices = select(tuning_points(plan, runs), plan.tolerance)
    # Runs that several conditions share are listed once, without the name of a condition.
    chosen: dict[str, tuple[list[str], list[Run]]] = {}
    for arm in plan.arms:
        value = plan.chosen.get(arm, choices[arm].value if arm in choices else None)
        if value is None:
            continue
        confirming = [run.run for run in plan.confirming(Side(arm, "own"))]
        tuning = [run.run for run in plan.tune if run.arm == arm and run.value == value]
        members = [by_name[name] for name in confirming if name in by_name]
        members = members or [by_name[name] for name in tuning if name in by_name]
        if not members:
            continue
        words = [_word(part) for part in arm.split("@", 1) if part]
        words.append(f"{plan.parameter.rpartition('.')[2]}={value:g}")
        others, _ = chosen.get(members[0].name, (words, members))
        chosen[members[0].name] = [word for word in others if word in words], members
    return {_joined(words): members for words, members in chosen.values()}


def _best_of_sweep(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return, of each loss and data set, the runs of the highest validation accuracy."""
    groups = by_group(run for run in runs if run.finished)
    firsts = settings([members[0] for members in groups.values()])
    configs = dict(zip(groups, firsts, strict=True))
    losses = {group: members[0].loss for group, members in groups.items()}
    keys = naming_keys(list(losses.values()), list(configs.values()))

    def score(group: str) -> float:
        return float(np.mean([run.summary.get("val/accuracy", 0.0) for run in groups[group]]))

    chosen = {}
    kinds = {group: (losses[group], configs[group].get(DATASET)) for group in groups}
    for loss, dataset in dict.fromkeys(kinds.values()):
        best = max((group for group in groups if kinds[group] == (loss, dataset)), key=score)
        varied = {
            key_text(key): configs[best][key] for key in keys if configs[best].get(key) is not None
        }
        words = [f"{k.rpartition('.')[2]}={_word(value_text(v))}" for k, v in varied.items()]
        chosen[_joined([_word(loss), *words])] = groups[best]
    return chosen


def _word(text: str) -> str:
    return re.sub(r"[^\w.=+-]|^[.]", "_", text)


def _joined(words: Sequence[str]) -> str:
    return " ".join(words)[:_LONGEST_NAME].rstrip()


def _nearest_colors(losses: Mapping[str, str]) -> dict[str, int]:
    """Return, by name, the index of the TensorBoard colour closest to the one in reports."""
    from scipy.optimize import linear_sum_assignment  # takes a tenth of a second to import

    families = {name.partition(" ")[0]: loss for name, loss in losses.items()}
    styles = [LOSS_STYLES.get(name) or LOSS_STYLES.get(loss) for name, loss in families.items()]

    def rgb(colors: Sequence[str]) -> Any:
        return np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in colors])

    colors = rgb([style.color if style else "#7F7F7F" for style in styles])
    palette = rgb([PALETTE[index % len(PALETTE)] for index in range(len(families))])
    distances = ((colors[:, None] - palette) ** 2).sum(axis=-1)
    _, nearest = linear_sum_assignment(distances)
    return dict(zip(families, map(int, nearest), strict=True))


def _write_chosen(
    folder: Path, runs: Sequence[Run], start: float, *, images_from: Sequence[Path]
) -> Path | None:
    """Write the means over ``runs``, and the images of the event files ``images_from``."""
    records = [
        [position | tags for position, tags in read_scalars(run.files.metrics)] for run in runs
    ]
    seen = set().union(*(record for each in records for record in each))
    tags = sorted(tag for tag in seen if "/" in tag and is_shown(tag))
    if not tags:
        return None
    # Under the tags of single runs, so that both share a chart.
    names: dict[str, tuple[str, ...]] = {f"{tag}/mean": (tag,) for tag in tags}
    for tag in filter(seen.__contains__, LAYOUT_TAGS):
        names[f"{tag}/mean"] += (f"{tag}/mean",)
        names |= {f"{tag}/{end}": (f"{tag}/{end}",) for end in ("lo", "hi")}

    def copied() -> list[Any]:
        events = (event for path in images_from for event in read_events(path))
        return [value for e in events for value in e.summary.value if value.HasField("image")]

    return _write_means(
        folder,
        means_over_seeds(runs, tags, records=records),
        start=start,
        names=names,
        source="".join(path.name for path in images_from).encode(),
        draw=copied,
    )


def _remove_others(folder: Path, kept: Collection[Path | None]) -> None:
    """Remove the event files of earlier reports that are not among ``kept``."""
    for path in filter(is_generated, set(folder.rglob(f"*{SUFFIX}")).difference(kept)):
        path.unlink(missing_ok=True)  # another report may have removed it
        with suppress(OSError):  # not empty
            path.parent.rmdir()


def _write_means(
    folder: Path,
    means: "Means",
    *,
    start: float,
    names: Mapping[str, Sequence[str]],
    source: bytes,
    draw: Callable[[], list[Any]],
) -> Path:
    """Write means as an event file unless it exists; return its path.

    Args:
        folder: Where the file goes.
        means: Of at least one tag.
        start: Unix time, by which TensorBoard orders runs.
        names: Maps each tag to the tags under which it is written.
        source: A digest of what is drawn.
        draw: Returns images and curves for the last step; called only if the file is written.
    """
    layout = seeds_layout({tag.rpartition("/")[0] for tag in names if tag.endswith("/lo")})
    # Named by its content: unchanged files are not written again, and a running TensorBoard loads
    # changed ones.
    text = f"{start} {means.tags} {names}".encode()
    digest = hashlib.sha256(text + layout.SerializeToString() + source)
    for part in (means.x, means.seconds, means.values):
        digest.update(part.tobytes())
    path = folder / f"events.out.tfevents.{start:.0f}.{digest.hexdigest()[:16]}{SUFFIX}"
    if path.exists():
        return path
    images = draw()
    folder.mkdir(parents=True, exist_ok=True)
    with beside(path) as temporary:
        file = EventFile(temporary, wall_time=start)
        file.add([layout], wall_time=start)
        rows = zip(means.x.tolist(), means.seconds.tolist(), means.values.T.tolist(), strict=True)
        for examples, seconds, row in rows:
            known = {tag: v for tag, v in zip(means.tags, row, strict=True) if math.isfinite(v)}
            named = {name: known[tag] for tag in names if tag in known for name in names[tag]}
            file.add(scalars(named), step=int(examples), wall_time=start + seconds)
        file.add(images, step=int(means.x[-1]), wall_time=start + float(means.seconds[-1]))
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
    n = (~np.isnan(numbers)).sum(axis=0)
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        mean = np.nanmean(numbers, axis=0)
        error = np.sqrt(np.nanvar(numbers, axis=0, ddof=1) / n)
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


def _drawn(runs: Sequence[Run]) -> list[Any]:
    """Return images and precision-recall curves of the runs that did not diverge."""
    from losslab.figures.run_images import read_recorded, run_images  # imports matplotlib

    records = [read_recorded(run) for run in runs if run.status == "done"]
    recorded = [each for each in records if each and np.isfinite(each.logits).all()]
    if not recorded:
        return []
    group = runs[0].group.rpartition("/")[2]
    loss = runs[0].config.get("loss")
    prior = loss.get("prior") if isinstance(loss, Mapping) else None
    prior = prior if isinstance(prior, Mapping) else {}
    name = group.rpartition("-")[0] or group
    images = run_images(recorded, name=name, loss=group.partition("-")[0], prior=prior)
    values = [image(tag, *each) for tag, each in images.items()]
    tested = [each for each in recorded if np.isfinite(each.test_logits).all()]
    if tested:
        logits = np.concatenate([each.test_logits for each in tested])
        labels = np.concatenate([each.test_labels for each in tested])
        values += precision_recall_curves(logits, labels, tested[0].class_names)
    return values


def _start_of(run: Run) -> float:
    """Return the Unix time at which a run started, 0 if unknown."""
    try:
        return datetime.fromisoformat(str(run.manifest.get("start"))).timestamp()
    except ValueError:
        return 0.0
