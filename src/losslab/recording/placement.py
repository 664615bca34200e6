"""Where a new run goes, so that no folder holds more than a thousand entries.

Cluster file systems, shells and TensorBoard slow down in folders of many thousands. Up to
:data:`ROOM` entries lie side by side; further ones lie in folders ``hash=00`` to ``hash=ff`` among
them, by the first two hex digits of the SHA-256 of their names. Existing folders never move.
"""

import hashlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from losslab.files import lock

ROOM = 700  # with 256 folders of hashes and the report's files fewer than a thousand


def locate(parent: Path, name: str) -> Path:
    """Return where an entry is, or would be if it were the first."""
    beside, spread = parent / name, _spread(parent, name)
    return spread if not beside.exists() and spread.exists() else beside


def place(
    parent: Path, names: Collection[str], *, only_spread: bool = False, room: int = ROOM
) -> None:
    """Make a folder for every name that has none: side by side, or spread if there are many.

    One process at a time, so that two concurrent sweeps agree on where a run is. Up to ``room`` lie
    side by side; if ``only_spread``, only further ones are made.
    """
    if all(locate(parent, name).exists() for name in names):
        return
    parent.mkdir(parents=True, exist_ok=True)
    with lock(parent, wait=True):
        missing = [name for name in names if not locate(parent, name).exists()]
        full = len(missing) + sum(1 for _ in parent.iterdir()) > room
        for name in missing if full or not only_spread else ():
            made = _spread(parent, name) if full else parent / name
            made.mkdir(parents=True, exist_ok=True)


def run_folders(root: Path) -> Iterator[Path]:
    """Yield the run directories in a folder, or itself if it is one, without looking into them."""
    if root.name.startswith("seed="):
        yield root
        return
    for folder, below, _ in os.walk(root):
        runs = [Path(folder, name) for name in below if name.startswith("seed=")]
        yield from (run for run in runs if any(run.iterdir()))  # an empty one has not begun
        below[:] = [name for name in below if not name.startswith("seed=")]


def configuration_of(run: Path) -> Path:
    """Return the folder of a run's configuration, given the run's directory."""
    return _without_spread(run.parent)


def sweep_of(run: Path) -> Path:
    """Return the folder of a run's sweep or study, given the run's directory."""
    return _without_spread(configuration_of(run).parent)


def _without_spread(folder: Path) -> Path:
    return folder.parent if folder.name.startswith("hash=") else folder


def _spread(parent: Path, name: str) -> Path:
    return parent / f"hash={hashlib.sha256(name.encode()).hexdigest()[:2]}" / name
