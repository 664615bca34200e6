"""Append-only files with one JSON object per line: metrics.jsonl and curves.jsonl."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from losslab.files import LARGEST, opened, read_bytes, write_atomically


class RecordLog:
    """Append records to ``path``; a resumed run keeps those up to ``after_step``."""

    def __init__(self, path: Path, *, after_step: int | None = None) -> None:
        self.kept = [] if after_step is None else read_records(path, up_to=after_step)
        lines = "".join(json.dumps(record) + "\n" for record in self.kept).encode()
        write_atomically(path, lines)
        self._so_far = hashlib.sha256(lines)
        self._file = path.open("ab")

    def mark(self) -> dict[str, Any]:
        """Return the current size and SHA-256 of the file, for :func:`check_mark`."""
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


def check_mark(path: Path, mark: object) -> None:
    """Raise ``ValueError`` unless a file starts with what :meth:`RecordLog.mark` has hashed."""
    known = mark if isinstance(mark, Mapping) else {}
    size, content = known.get("bytes"), read_bytes(path) if path.is_file() else b""
    if type(size) is not int or size < 0:
        raise ValueError(f"there is no checksum of {path.name}")
    if hashlib.sha256(content[:size]).hexdigest() != known.get("sha256"):
        raise ValueError(f"{path.name} is cut off or altered")
