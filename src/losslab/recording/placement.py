"""Place new runs so that no folder has more than a thousand entries.

Cluster file systems, shells and TensorBoard are slow in larger folders. The first :data:`ROOM`
entries go into the folder itself, further ones into its subfolders ``hash=00`` to ``hash=ff``, by
the first two hex digits of the SHA-256 of their names. Existing folders never move.
"""

import hashlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from losslab.files import lock

ROOM = 700  # with 256 folders of hashes and the report's files fewer than a thousand


def locate(parent: Path, name: str) -> Path:
    """Return the path of an entry, whether it exists or not."""
    direct, spread = parent / name, _spread(parent, name)
    return spread if not direct.exists() and spread.exists() else direct


def place(
    parent: Path, names: Collection[str], *, only_spread: bool = False, room: int = ROOM
) -> None:
    """Create the missing folders of some names, in ``hash=`` folders if there are over ``room``.

    Locked, so that concurrent sweeps agree on where a run is. If ``only_spread``, only folders
    beyond ``room`` are created.
    """
    if all(locate(parent, name).exists() for name in names):
        return
    parent.mkdir(parents=True, exist_ok=True)
    with lock(parent, wait=True):
        missing = [name for name in names if not locate(parent, name).exists()]
        full = len(missing) + sum(1 for _ in parent.iterdir()) > room
        for name in missing if full or not only_spread else ():
            folder = _spread(parent, name) if full else parent / name
            folder.mkdir(parents=True, exist_ok=True)


def run_folders(root: Path) -> Iterator[Path]:
    """Yield the run directories in a folder, or the folder itself if it is one."""
    if root.name.startswith("seed="):
        yield root
        return
    for folder, below, _ in os.walk(root):
        runs = [Path(folder, name) for name in below if name.startswith("seed=")]
        yield from (run for run in runs if any(run.iterdir()))  # an empty one has not started
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
