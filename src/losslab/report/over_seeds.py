"""Give TensorBoard each configuration over its seeds: means, images, precision and recall."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from losslab.files import check_generated
from losslab.recording import Run
from losslab.tensorboard import image, precision_recall_curves
from losslab.tensorboard.over_seeds import FOLDER, Seed, remove_others, write_configuration

_SHOWN = ("model.safetensors", "predictions.safetensors", "curves.jsonl")


def write_over_seeds(
    root: Path, runs: Sequence[Run], console: Console | None = None
) -> Path | None:
    """Write all configurations with a finished run.

    Written again for the same runs, the files are left as they are; those of configurations that
    are no longer there are removed.

    Args:
        root: The folder of a study or a sweep, of a configuration or of a run.
        runs: What it holds.
        console: Where to show progress: images take half a second a configuration.

    Returns:
        The folder, ``None`` where no run is finished.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.finished:
            groups.setdefault(run.group, []).append(run)
    if not groups:
        return None
    above = runs[0].path.parents[len(Path(runs[0].name).parts) - 1]
    folder = above / FOLDER
    for group in groups:
        check_generated(folder / group, below=above)
    written = []
    shown = Console(quiet=True) if console is None else console
    for group, members in track(
        groups.items(), "Images for TensorBoard", console=shown, transient=True,
        disable=not shown.is_terminal,
    ):  # fmt: skip
        path = write_configuration(
            folder / group,
            [Seed(run.evaluations, run.status == "diverged") for run in members],
            start=_start(members[0]),
            show=partial(_shown, members),
            shown_of=_digest(members),
        )
        written += [path] if path else []
    if above == root.resolve():
        remove_others(folder, written)
    return folder if written else None


def _shown(runs: Sequence[Run]) -> list[Any]:
    """Return images and curves of the runs that did not diverge, as TensorBoard takes them."""
    from losslab.figures.run_images import read_recorded, run_images  # matplotlib takes a second

    found = [read_recorded(run) for run in runs if run.status == "done"]
    recorded = [each for each in found if each and np.isfinite(each.logits).all()]
    if not recorded:
        return []
    group = runs[0].group.rpartition("/")[2]
    images = run_images(
        recorded,
        name=group.rpartition("-")[0] or group,
        loss=group.partition("-")[0],
        prior=_mapping(_mapping(runs[0].config, "loss"), "prior"),
    )
    shown = [image(tag, *each) for tag, each in images.items()]
    tested = [each for each in recorded if np.isfinite(each.test_logits).all()]
    if tested:
        logits = np.concatenate([each.test_logits for each in tested])
        labels = np.concatenate([each.test_labels for each in tested])
        shown += precision_recall_curves(logits, labels, tested[0].class_names)
    return shown


def _mapping(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = config.get(key)
    return value if isinstance(value, Mapping) else {}


def _digest(runs: Sequence[Run]) -> bytes:
    """Return the SHA-256 of what the images are drawn from."""
    digest = hashlib.sha256()
    for run in runs:
        for path in (run.path / name for name in _SHOWN):
            if path.exists():
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()


def _start(run: Run) -> float:
    """Return the Unix time of a run's start, 0 where it is not known."""
    try:
        return datetime.fromisoformat(str(run.manifest.get("start"))).timestamp()
    except ValueError:
        return 0.0
