"""metrics.jsonl and curves.jsonl: one JSON object a record, appended."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from losslab.recording.files import write_atomically


class RecordLog:
    """Append records to ``path``.

    Args:
        path: The file.
        after_step: Keep only the records up to this step of what is there already (a resumed
            run repeats the later ones); ``None`` starts the file anew.
    """

    def __init__(self, path: Path, *, after_step: int | None = None) -> None:
        self.kept = [] if after_step is None else read_records(path, up_to=after_step)
        write_atomically(path, "".join(json.dumps(record) + "\n" for record in self.kept))
        self._file = path.open("a", encoding="utf-8")

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record; NaN and infinity are not JSON and raise."""
        self._file.write(json.dumps(record, allow_nan=False) + "\n")

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close."""
        self._file.close()


def read_records(path: Path, *, up_to: int | None = None) -> list[dict[str, Any]]:
    """Return the records with ``step <= up_to``; a half-written last line is left out."""
    records: list[dict[str, Any]] = []
    if not path.exists():
        return records
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if up_to is None or record["step"] <= up_to:
            records.append(record)
    return records
