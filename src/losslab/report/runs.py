"""Read run directories, whatever state they are in: as :class:`Run` objects and as a table."""

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import yaml
from safetensors import safe_open

from losslab.files import (
    YAML_LOADER,
    first_altered,
    is_intact,
    opened,
    read_json,
    read_text,
    read_yaml,
)
from losslab.report.selectors import SELECTORS, split
from losslab.report.statistics import FloatArray, IntArray
from losslab.text import printable_values
from losslab.types import Scalars

Status = Literal["done", "diverged", "failed", "running", "damaged"]
STATUSES: tuple[Status, ...] = ("done", "diverged", "failed", "running", "damaged")

_LARGEST_METRICS, _LARGEST_PREDICTIONS = 2**29, 2**29  # bytes; read and scored in memory

# A number beyond has no square: one like NaN.
_LARGEST_NUMBER = 1e100
_POSITIONS = {"step": 2**62, "examples": 2**62, "epoch": 1e9, "wall_s": 1e9}


@dataclass(frozen=True)
class Run:
    """One run directory."""

    path: Path  # the directory
    name: str  # ``<group>/seed=<n>``, below the folder that was read
    group: str  # what all seeds of a configuration share
    seed: int  # of the run
    status: Status  # as its ``status.json`` says, or ``damaged`` when its files cannot be read
    reason: str = ""  # why it failed or is damaged, one line; else empty
    config: Mapping[str, Any] = field(default_factory=dict)  # resolved
    manifest: Mapping[str, Any] = field(default_factory=dict)  # versions, device, commit
    # tag to final number; what is not finite is absent
    summary: Scalars = field(default_factory=dict)
    # the records of ``metrics.jsonl`` that hold validation metrics, in order
    evaluations: tuple[Scalars, ...] = ()

    @property
    def loss(self) -> str:
        """The config name of its loss, with which the folder's name begins."""
        return self.group.rsplit("/", 1)[-1].split("-")[0]

    @property
    def finished(self) -> bool:
        """Whether its numbers count: it is done, or it diverged, which is a result."""
        return self.status in ("done", "diverged")

    def number(self, metric: str) -> float | None:
        """Return a metric of the run, ``None`` where it was not recorded.

        Args:
            metric: A tag, for its final number, or ``<tag>@<selector>``, see
                :data:`~losslab.report.selectors.SELECTORS`.
        """
        tag, selector = split(metric)
        recorded = [record[tag] for record in self.evaluations if tag in record]
        if selector:
            return SELECTORS[selector].select(recorded) if recorded else None
        if tag in self.summary:
            return self.summary[tag]
        return recorded[-1] if recorded and self.status == "diverged" else None


def load_runs(root: Path) -> list[Run]:
    """Read every run below a folder, sorted by name. A configuration's folder and a run's will do.

    Never fails on a run: what cannot be read makes the run ``damaged``, with the reason.

    Raises:
        ValueError: ``root`` is not a folder.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; give one that holds runs, such as outputs/runs")
    root = root.resolve()
    paths = [root] if root.name.startswith("seed=") else list(_run_folders(root))
    above = root
    while any(_short(path, above).count("/") == 0 for path in paths):
        above = above.parent
    return sorted((_load(path, above) for path in paths), key=lambda run: (run.group, run.seed))


def read_predictions(run: Run, part: str) -> tuple[FloatArray, IntArray] | None:
    """Return final logits ``(N, K)`` and labels ``(N,)`` of ``val`` or ``test``.

    ``None`` where the run is not finished or has stored none.
    """
    path = run.path / "predictions.safetensors"
    names = (f"{part}/logits", f"{part}/labels")
    if not run.finished or not path.exists():
        return None
    try:
        with safe_open(path, framework="numpy") as tensors:
            if any(name not in tensors.keys() for name in names):  # noqa: SIM118
                return None
            logits, labels = (tensors.get_tensor(name) for name in names)
        return logits.astype(np.float64), labels.astype(np.int64)
    except Exception as error:  # of a file without a checksum, written by an older version
        raise ValueError(f"{path} cannot be read: {_one_line(str(error))}") from None


def read_curves(run: Run) -> Iterator[tuple[tuple[float, ...], Scalars]]:
    """Yield of each record step, examples, epoch and seconds, and tag to number.

    What follows a half-written record of a run under way is left out.
    """
    path = run.path / "metrics.jsonl"
    text = read_text(path, most=_LARGEST_METRICS) if path.exists() else ""
    for line in text.splitlines():
        try:
            record = _finite(path, _mapping(path, json.loads(line)))
            position = tuple(record.pop(key) for key in ("step", "examples", "epoch", "wall_s"))
        except (ValueError, KeyError, RecursionError):
            return
        yield position, record


def runs_table(runs: Iterable[Run]) -> pd.DataFrame:
    """Return a row a run: name, group, loss, seed, status, path, what was varied, final metrics.

    What was varied are the keys of the configuration that differ between runs, such as
    ``optimizer.lr``; metrics are tags, such as ``test/accuracy``, NaN where a run has none.
    """
    runs = list(runs)
    varied = varied_keys([flatten(run.config) for run in runs if run.config])
    first = {
        "name": [run.name for run in runs],
        "group": [run.group for run in runs],
        "loss": [run.loss for run in runs],
        "seed": [run.seed for run in runs],
        "status": [run.status for run in runs],
        "path": [str(run.path) for run in runs],
    }
    flat = [flatten(run.config) for run in runs]
    tags = sorted(set().union(*(run.summary for run in runs)))
    options = {key: [config.get(key) for config in flat] for key in varied}
    numbers = {tag: [run.summary.get(tag, math.nan) for run in runs] for tag in tags}
    return pd.DataFrame(first | options | numbers)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested keys joined by dots; a list is one value.

    >>> flatten({"optimizer": {"lr": 0.1}, "seed": 0})
    {'optimizer.lr': 0.1, 'seed': 0}
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def varied_keys(configs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the keys of flat configurations whose values differ, but for the seed, sorted.

    >>> varied_keys([{"optimizer.lr": 0.1, "seed": 0}, {"optimizer.lr": 0.3, "seed": 0}])
    ('optimizer.lr',)
    """
    keys = sorted(set().union(*configs)) if configs else []
    absent = object()
    varied = tuple(
        key
        for key in keys
        if key not in {"seed", "name", "init_sha256"}
        and any(config.get(key, absent) != configs[0].get(key, absent) for config in configs)
    )
    # The checksum of the data tells something only where all else is the same.
    others = tuple(key for key in varied if key != "data_sha256")
    told = {repr([config.get(key, absent) for key in others]) for config in configs}
    return others if len(told) == len(configs) else varied


def _run_folders(root: Path) -> Iterator[Path]:
    """Yield the run directories below a folder, without looking into them."""
    for folder, below, _ in os.walk(root):
        # An empty one is a run that has not begun.
        yield from (
            Path(folder, name)
            for name in below
            if name.startswith("seed=") and any(Path(folder, name).iterdir())
        )
        below[:] = [name for name in below if not name.startswith("seed=")]


def _short(path: Path, above: Path) -> str:
    """Return the name of a run, without the folders over which many are spread."""
    parts = path.relative_to(above).parts
    return "/".join(part for part in parts if not part.startswith("hash="))


def _load(path: Path, root: Path) -> Run:
    name = _short(path, root)
    group = name.rpartition("/")[0]
    number = re.fullmatch("seed=([0-9]{1,19})", path.name)
    seed = int(number.group(1)) if number else -1
    identity: dict[str, Any] = {"path": path, "name": name, "group": group, "seed": seed}
    try:
        state = read_json(path / "status.json")
        status: Any = state.get("status")
        if status not in STATUSES:
            raise ValueError(f"status.json says {status!r}")
        if not is_intact(state):
            raise ValueError("status.json was altered")
        reason = _one_line(str(state.get("error") or ""))
        if status not in ("done", "diverged"):
            # It may have stopped between any two files; its config says what it was to be.
            config = _read_yaml(path / "config.yaml") if (path / "config.yaml").exists() else {}
            return Run(**identity, status=status, reason=reason, config=config)
        _check_predictions(path / "predictions.safetensors")
        altered = first_altered(path, state.get("sha256"))
        if altered:
            raise ValueError(f"{altered} was cut off or altered since the run ended")
        return Run(
            **identity,
            status=status,
            reason=reason,
            config=_read_yaml(path / "config.yaml"),
            manifest=read_json(path / "manifest.json"),
            summary=_finite(path / "summary.json", read_json(path / "summary.json")),
            evaluations=_read_evaluations(path / "metrics.jsonl"),
        )
    except Exception as error:  # whatever an altered file makes its readers raise
        return Run(**identity, status="damaged", reason=_one_line(str(error)))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        value = yaml.load(read_yaml(path), Loader=YAML_LOADER)
    except FileNotFoundError:
        raise ValueError(f"{path.name} is missing") from None
    except Exception as error:  # PyYAML has many of its own, and lets others through
        raise ValueError(f"{path.name} cannot be read: {_one_line(str(error))}") from None
    if not _is_plain(value):
        raise ValueError(f"{path.name} holds what no configuration does")
    return _mapping(path, printable_values(value))


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | float) or _is_whole(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and abs(value) < 2**64


def _mapping(path: Path, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no mapping")
    return value


def _finite(path: Path, record: Mapping[str, Any]) -> Scalars:
    for tag, number in record.items():
        right = isinstance(number, float) or (_is_whole(number) and not isinstance(number, bool))
        if tag in _POSITIONS:
            right = right and 0 <= number <= _POSITIONS[tag]
        if not right:
            raise ValueError(f"{path.name} says {tag}={str(number)[:40]}")
    return {tag: float(number) for tag, number in record.items() if abs(number) <= _LARGEST_NUMBER}


def _read_evaluations(path: Path) -> tuple[Scalars, ...]:
    try:
        text = read_text(path, most=_LARGEST_METRICS)
    except FileNotFoundError:
        raise ValueError(f"{path.name} is missing") from None
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from None
    if text and not text.endswith("\n"):
        raise ValueError(f"{path.name} ends in half a record")
    # The records without validation are many, and nobody here reads them.
    lines = [line for line in text.splitlines() if '"val/' in line]
    try:
        records = [_mapping(path, json.loads(line)) for line in lines]
    except (ValueError, RecursionError):
        raise ValueError(f"{path.name} holds a record that cannot be read") from None
    return tuple(_finite(path, record) for record in records)


def _check_predictions(path: Path) -> None:
    """Check all that scoring them relies on; the logits themselves are left unread."""
    try:
        with opened(path, most=_LARGEST_PREDICTIONS):
            pass
        with safe_open(path, framework="numpy") as tensors:
            names = set(tensors.keys())
            for split in ("val", "test"):
                if not {f"{split}/logits", f"{split}/labels"} <= names:
                    continue
                logits = tensors.get_slice(f"{split}/logits")
                labels, shape = tensors.get_tensor(f"{split}/labels"), logits.get_shape()
                if logits.get_dtype() not in ("F16", "F32", "F64"):
                    raise ValueError(f"{split} has logits of type {logits.get_dtype()}")
                if len(shape) != 2 or 0 in shape or labels.shape != (shape[0],):
                    raise ValueError(f"{split} has logits {shape} and labels {[*labels.shape]}")
                if not ((labels >= 0) & (labels < shape[1])).all():
                    raise ValueError(f"{split} has labels beyond its {shape[1]} classes")
    except FileNotFoundError:
        return
    except Exception as error:  # of whatever type safetensors and numpy choose
        raise ValueError(f"{path.name} cannot be read: {_one_line(str(error))}") from None


def _one_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # The last line of a traceback has the error's name and message.
    return "" if not lines else lines[-1] if lines[0].startswith("Traceback") else lines[0]
