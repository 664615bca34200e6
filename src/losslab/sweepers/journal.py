"""The file in which a search keeps its trials: for one command at a time, without half lines."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from losslab.files import lock, read_bytes

if TYPE_CHECKING:
    from optuna.storages import JournalStorage


@contextmanager
def open_journal(path: Path) -> Iterator["JournalStorage"]:
    """Open Optuna's storage in a file, for this process alone.

    So trials that it lists as running are those of a command that was stopped.

    Raises:
        ValueError: Another command is searching there.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path.parent.mkdir(parents=True, exist_ok=True)
    with lock(path) as mine:
        if not mine:
            raise ValueError(
                f"another command is searching in {path.parent}; wait for it, or give another "
                "name=..."
            )
        content = read_bytes(path)
        if not content.endswith(b"\n"):
            os.truncate(path, content.rfind(b"\n") + 1)
        backend = JournalFileBackend(str(path), lock_obj=_Ours())  # type: ignore[arg-type]
        yield JournalStorage(backend)


class _Ours:
    """Optuna needs a lock object, and its own is a file that stays when its process is killed."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass
