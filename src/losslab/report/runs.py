"""Load the runs below a folder, group them, and turn them into a table."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from losslab.recording import Run, flatten, run_folders

DATASET = "data.dataset"
_SOURCE = "data.source."  # arguments of what reads the data


def load_runs(root: Path) -> list[Run]:
    """Load every run below a folder, or the run that it is, sorted by group and seed.

    A run that cannot be read gets the status ``damaged`` and the reason. ``ValueError`` if ``root``
    is not a folder.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; give one that holds runs, such as outputs/runs")
    root = root.resolve()
    paths = list(run_folders(root))
    above = root
    while any(_short(path, above).count("/") == 0 for path in paths):
        above = above.parent
    runs = [Run.load(path, group=_short(path, above).rpartition("/")[0]) for path in paths]
    return sorted(runs, key=lambda run: (run.group, run.seed))


def unstarted(root: Path) -> list[str]:
    """Return the configurations of a sweep's folder that have no run yet, by folder.

    A sweep makes these folders before its first run.
    """
    names = "*-" + 8 * "[0-9a-f]"
    folders = [path for name in (names, f"hash=*/{names}") for path in root.glob(name)]
    return sorted(path.name for path in folders if path.is_dir() and not any(run_folders(path)))


def distinct(runs: Iterable[Run]) -> list[Run]:
    """Return each run once, under names that differ.

    If runs in different folders have equal names, all are named by their path below the common
    folder, such as ``rates/mse-1a2b3c4d/seed=0``.
    """
    by_path: dict[Path, Run] = {}
    for run in runs:
        by_path.setdefault(run.path.resolve(), run)
    if len({run.name for run in by_path.values()}) == len(by_path):
        return [*by_path.values()]
    above = Path(os.path.commonpath(by_path))
    return [_renamed(r, _short(path, above).rpartition("/")[0]) for path, r in by_path.items()]


def _renamed(run: Run, group: str) -> Run:
    renamed = replace(run, group=group, directory=run.path)
    if "results" in vars(run):  # as they were read
        vars(renamed)["results"] = run.results
    return renamed


def by_group(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Return the runs of each configuration, by the name of its folder."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.group, []).append(run)
    return groups


def sweep_folder(runs: Sequence[Run]) -> Path:
    """Return the folder that the names of runs are relative to."""
    return runs[0].path.parents[len(Path(runs[0].name).parts) - 1]


def runs_table(runs: Iterable[Run]) -> pd.DataFrame:
    """Return one row for each run: name, group, loss, seed, status, path, varied keys, metrics.

    Varied keys are those of the configuration that differ between runs, such as ``optimizer.lr``;
    metrics are final values by tag, such as ``test/accuracy``, NaN where a run has none.
    """
    runs = list(runs)
    flat = [flatten(run.config) for run in runs]
    varied = varied_keys([config for config in flat if config])
    columns = {
        "name": [run.name for run in runs],
        "group": [run.group for run in runs],
        "loss": [run.loss for run in runs],
        "seed": [run.seed for run in runs],
        "status": [run.status for run in runs],
        "path": [str(run.path) for run in runs],
    }
    tags = sorted(set().union(*(run.summary for run in runs)))
    options = {key: [config.get(key) for config in flat] for key in varied}
    numbers = {tag: [run.summary.get(tag, math.nan) for run in runs] for tag in tags}
    return pd.DataFrame(columns | options | numbers)


def varied_keys(configs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return, sorted, the keys whose values differ between flat configurations, except the seed."""
    keys = sorted(set().union(*configs)) if configs else []
    absent = object()
    varied = tuple(
        key
        for key in keys
        if key not in {"seed", "name", "init_sha256"}
        and any(config.get(key, absent) != configs[0].get(key, absent) for config in configs)
    )
    # The checksum of the data matters only between configurations that are otherwise equal.
    others = tuple(key for key in varied if key != "data_sha256")
    distinct = {repr([config.get(key, absent) for key in others]) for config in configs}
    return others if len(distinct) == len(configs) else varied


def naming_keys(losses: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the varied keys that a table needs beside the name of the loss.

    Left out are arguments of a loss that follow from its name, and those of a model, a data set and
    so on that others do not have.

    >>> configs = [{"loss.eps": 0, "lr": 1}, {"loss.eps": 1, "lr": 1}, {"loss.eps": 1, "lr": 2}]
    >>> naming_keys(["a", "b", "b"], configs), naming_keys(["a", "a", "a"], configs)
    (('lr',), ('loss.eps', 'lr'))
    """

    def follows(key: str) -> bool:
        group = key.partition(".")[0]
        names: Sequence[Any] = losses
        if group != "loss":
            namer = DATASET if group == "data" else f"{group}._target_"
            shared = not key.startswith(_SOURCE) and all(key in config for config in configs)
            if key == namer or shared:
                return False
            names = [config.get(namer) for config in configs]
        pairs = zip(names, (repr(config.get(key)) for config in configs), strict=True)
        return len(set(pairs)) == len(set(names))

    varied = varied_keys([config for config in configs if config])
    return tuple(key for key in varied if not follows(key))


def settings(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return flat configurations in which ``model._target_`` is ``small_cnn`` in place of a class.

    A class stays where its name is not that of one choice.
    """
    flat = [flatten(run.config) for run in runs]
    recorded = [run.manifest.get("choices") for run in runs]
    choices = [each if isinstance(each, Mapping) else {} for each in recorded]
    for group in set().union(*choices):
        key = f"{group}._target_"
        names = [choice.get(group) for choice in choices]
        classes = [config.get(key) for config in flat]
        # Files from elsewhere may hold any type.
        if not all(isinstance(name, str) for name in (*names, *classes)):
            continue
        pairs = set(zip(names, classes, strict=True))
        if len(set(names)) == len(set(classes)) == len(pairs):
            for config, name in zip(flat, names, strict=True):
                config[key] = name
    return flat


def _short(path: Path, above: Path) -> str:
    """Return the name of a run without the ``hash=`` folders of large sweeps."""
    parts = path.relative_to(above).parts
    return "/".join(part for part in parts if not part.startswith("hash="))
