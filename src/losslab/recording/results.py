"""Read the files of a run, which may be damaged."""

import json
import os
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import yaml
from safetensors import safe_open

from losslab.files import (
    LARGEST,
    YAML_LOADER,
    first_altered,
    is_intact,
    opened,
    read_bytes,
    read_json,
    read_text,
    read_yaml,
)
from losslab.text import printable_values
from losslab.types import Scalars

if TYPE_CHECKING:  # numpy takes a quarter of the time of `losslab list` to import
    import numpy as np
    from numpy.typing import NDArray

Status = Literal["done", "diverged", "failed", "running", "damaged"]
FINISHED: tuple[Status, ...] = ("done", "diverged")
"""Not run again unless forced: divergence is a result."""

Arrays: TypeAlias = "tuple[NDArray[np.float64], NDArray[np.int64]]"

_LARGEST_METRICS, _LARGEST_PREDICTIONS = 2**29, 2**29  # bytes; they are read into memory
_LONGEST_REASON = 300  # characters
_LARGEST_NUMBER = 1e100  # beyond it squares overflow; treated like NaN
_POSITIONS = {"step": 2**62, "examples": 2**62, "epoch": 1e9, "wall_s": 1e9}


@dataclass(frozen=True)
class Results:
    """The content of a run's files; see the properties of :class:`~losslab.recording.Run`."""

    status: Status
    reason: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    summary: Scalars = field(default_factory=dict)
    evaluations: tuple[Scalars, ...] = ()


def read_results(path: Path) -> Results:
    """Read a run's directory; its status is ``damaged`` if a file cannot be read."""
    try:
        state = read_json(path / "status.json")
        status: Any = state.get("status")
        if status not in (*FINISHED, "failed", "running"):
            raise ValueError(f"status.json says {status!r}")
        if not is_intact(state):
            raise ValueError("status.json was altered")
        reason, config = _one_line(state.get("error") or ""), path / "config.yaml"
        if status not in FINISHED:  # there may be no files yet
            return Results(status, reason, _read_yaml(config) if config.exists() else {})
        _check_predictions(path / "predictions.safetensors")
        altered = first_altered(path, state.get("sha256"))
        if altered:
            raise ValueError(f"{altered} was cut off or altered since the run ended")
        return Results(
            status,
            reason,
            config=_read_yaml(config),
            manifest=read_json(path / "manifest.json"),
            summary=_finite(path / "summary.json", read_json(path / "summary.json")),
            evaluations=_read_evaluations(path / "metrics.jsonl"),
        )
    except Exception as error:  # an altered file can raise anything
        return Results("damaged", _one_line(error))


def read_predictions(path: Path, part: str) -> "Arrays | None":
    """Return final logits ``(N, K)`` and labels ``(N,)`` of ``val`` or ``test``, if stored."""
    names = (f"{part}/logits", f"{part}/labels")
    if not path.exists():
        return None
    # A file without a checksum, from an older version, may hold anything.
    with _naming(path), safe_open(path, framework="numpy") as tensors:
        if any(name not in tensors.keys() for name in names):  # noqa: SIM118
            return None
        logits, labels = (tensors.get_tensor(name) for name in names)
        return logits.astype("float64"), labels.astype("int64")


def read_records(
    path: Path, *, up_to: int | None = None, most: int = LARGEST
) -> list[dict[str, Any]]:
    """Return the records with ``step <= up_to``, up to the first line that is not a record."""
    records: list[dict[str, Any]] = []
    if not path.exists():
        return records
    for line in read_bytes(path, most=most).splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(record, dict) or type(record.get("step")) is not int:
            break
        if up_to is None or record["step"] <= up_to:
            records.append(record)
    return records


def last_record(path: Path) -> dict[str, Any]:
    """Return the last record of a file; ``ValueError`` or ``LookupError`` if there is none."""
    with opened(path) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 20_000))  # several records
        record: dict[str, Any] = json.loads(file.read().splitlines()[-1])
    return record


def read_scalars(path: Path) -> Iterator[tuple[Scalars, Scalars]]:
    """Yield the position and the scalars of each record, up to the first damaged one."""
    for record in read_records(path, most=_LARGEST_METRICS):
        try:
            numbers = _finite(path, record)
            position = {key: numbers.pop(key) for key in _POSITIONS}
        except (ValueError, KeyError):
            return
        yield position, numbers


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted keys; a list is one value.

    >>> flatten({"optimizer": {"lr": 0.1}, "seed": 0})
    {'optimizer.lr': 0.1, 'seed': 0}
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


@contextmanager
def _naming(file: Path | str) -> Iterator[None]:
    """Turn any error from reading a file into one line that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise ValueError(f"{file} is missing") from None
    except Exception as error:  # PyYAML, safetensors and numpy have many error classes
        raise ValueError(f"{file} cannot be read: {_one_line(error)}") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    with _naming(path.name):
        value = yaml.load(read_yaml(path), Loader=YAML_LOADER)
    if not _is_plain(value):
        raise ValueError(f"{path.name} holds values that a configuration cannot have")
    return _mapping(path, printable_values(value))


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | float) or _is_whole(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and abs(value) < 2**64


def _mapping(path: Path, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} is not a mapping")
    return value


def _finite(path: Path, record: Mapping[str, Any]) -> Scalars:
    """Check a record and return its finite numbers."""
    for tag, number in record.items():
        valid = isinstance(number, float) or (_is_whole(number) and not isinstance(number, bool))
        if not valid or (tag in _POSITIONS and not 0 <= number <= _POSITIONS[tag]):
            raise ValueError(f"{path.name} says {tag}={str(number)[:40]}")
    return {tag: float(number) for tag, number in record.items() if abs(number) <= _LARGEST_NUMBER}


def _read_evaluations(path: Path) -> tuple[Scalars, ...]:
    with _naming(path.name):
        text = read_text(path, most=_LARGEST_METRICS)
    if text and not text.endswith("\n"):
        raise ValueError(f"{path.name} ends in half a record")
    # Most records have no validation metrics; skip parsing them.
    lines = [line for line in text.splitlines() if '"val/' in line]
    with _naming(path.name):
        records = [json.loads(line) for line in lines]
    return tuple(_finite(path, _mapping(path, record)) for record in records)


def _check_predictions(path: Path) -> None:
    """Check stored predictions, without reading the logits."""
    if not path.exists():
        return
    with _naming(path.name):
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


def _one_line(message: object) -> str:
    lines = list(filter(None, map(str.strip, str(message).splitlines())))
    # The last line of a traceback has the error's name and message.
    if not lines or lines[0].startswith("Traceback"):
        return "".join(lines[-1:])
    return textwrap.shorten(" ".join(lines), _LONGEST_REASON, placeholder=" …")
