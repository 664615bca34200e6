"""Wrong commands, and how each of them must end."""

from pathlib import Path
from typing import NamedTuple

from running import Commands

SYNTHETIC = ("train", "data=synthetic")


class Bad(NamedTuple):
    """A command, and what its one line on standard error must contain."""

    command: tuple[str, ...]
    says: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.command)


def bad(command: str, *says: str) -> Bad:
    return Bad(tuple(command.split()), says)


def synthetic(overrides: str, *says: str) -> Bad:
    return Bad((*SYNTHETIC, *overrides.split()), says)


def check(losslab: Commands, command: tuple[str, ...], says: tuple[str, ...]) -> None:
    """The command must end with 2 and one line, and leave the working folder as it is."""
    before = snapshot(losslab.folder)
    code, out, err = losslab.call(*command)
    (line,) = err.splitlines()
    assert line.startswith("losslab: ")
    assert [words for words in says if words not in line] == []
    assert (code, out) == (2, "")
    assert snapshot(losslab.folder) == before


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts  # of custom modules, which Python may write
    }
