"""Where a new run goes, so that no folder holds more than a thousand entries.

File systems of clusters, shells and TensorBoard all slow down in folders of many thousands. Up to
:data:`ROOM` entries lie side by side; what comes beyond lies in folders ``hash=00`` to
``hash=ff`` among them, by the first two hex digits of the SHA-256 of its name. What is there
already is found and stays where it is.
"""

import hashlib
from collections.abc import Collection
from pathlib import Path

from losslab.files import lock

ROOM = 700  # with the 256 others and the report's files less than a thousand
SHARD = "hash="


def locate(parent: Path, name: str) -> Path:
    """Return where an entry is, or would be if it were the first.

    >>> locate(Path("nowhere"), "mse-0123abcd").as_posix()
    'nowhere/mse-0123abcd'
    """
    beside = parent / name
    within = parent / _shard(name) / name
    return within if not beside.exists() and within.exists() else beside


def place(
    parent: Path, names: Collection[str], *, only_spread: bool = False, room: int = ROOM
) -> None:
    """Make a folder for every name that has none: side by side, or spread if there are many.

    One process at a time, so that two sweeps at once agree on where a run is.

    Args:
        parent: Made if it is missing.
        names: Of the folders.
        only_spread: Whether to make only those that are spread.
        room: How many entries may lie side by side.
    """
    if all(locate(parent, name).exists() for name in names):
        return
    parent.mkdir(parents=True, exist_ok=True)
    with lock(parent, wait=True):
        missing = [name for name in names if not locate(parent, name).exists()]
        spread = len(missing) + sum(1 for _ in parent.iterdir()) > room
        for name in missing if spread or not only_spread else ():
            made = parent / _shard(name) / name if spread else parent / name
            made.mkdir(parents=True, exist_ok=True)


def _shard(name: str) -> str:
    return SHARD + hashlib.sha256(name.encode()).hexdigest()[:2]
