"""What TAB offers behind a command other than ``train``, of which Hydra knows."""

import contextlib
import io
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

_OF_FOLDERS = ("report", "board", "runs", "best", "compare", "evaluate")
_NO_RUNS = ("figures", "over_seeds", "best")


def completions(
    name: str, command: Callable[[list[str]], int], words: Sequence[str]
) -> Sequence[str]:
    """Return what the last word may become.

    Args:
        name: Of the command.
        command: It prints its flags when it is asked for help.
        words: Those behind the name, the last one as far as it is typed.
    """
    *before, typed = words
    if before and before[-1] == "--by":
        found = _metrics(before)
    elif typed.startswith("-"):
        found = _flags(command)
    else:
        found = _folders(typed) if name in _OF_FOLDERS else []
    return [each for each in found if each.startswith(typed)]


def _flags(command: Callable[[list[str]], int]) -> list[str]:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        command(["--help"])
    usage = shown.getvalue().partition("\n\n")[0]
    return sorted(set(re.findall(r"--[a-z][a-z-]*", usage)))


def _folders(typed: str) -> list[str]:
    """Return the folders that a path may lead to, first of all those in ``outputs``."""
    above, _, begin = (typed or "outputs/").rpartition("/")
    try:
        with os.scandir(Path(f"{above}/" if above or typed.startswith("/") else ".")) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return []
    shown = [name for name in sorted(names) if not name.startswith(".") and name not in _NO_RUNS]
    prefix = f"{above}/" if "/" in (typed or "outputs/") else ""
    return [f"{prefix}{name}/" for name in shown if name.startswith(begin)]


def _metrics(words: Sequence[str]) -> list[str]:
    """Return the metrics of a run in a folder among the words."""
    for folder in (Path(word) for word in words if not word.startswith("-")):
        for depth in ("summary.json", "*/summary.json", "*/*/summary.json", "*/*/*/summary.json"):
            for path in folder.glob(depth):
                try:
                    return sorted(tag for tag in json.loads(path.read_text("utf-8")) if "/" in tag)
                except (OSError, ValueError, TypeError):
                    break
    return []
