"""Tab completion; the shell waits for it, so slow imports happen only where they are needed."""

import contextlib
import os
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from losslab.folders import CONFIG_FOLDER, STUDY_FOLDERS

COMMANDS = (
    *("train", "study", "verify", "report", "runs", "best", "compare", "board", "list"),
    *("data", "evaluate", "explore"),
)
"""The names of all commands."""

_FOLDER_COMMANDS = ("report", "board", "runs", "best", "compare", "evaluate")
_NOT_SWEEPS = ("figures", "over_seeds", "best")
_GROUP_OF_NAME = {"study": "study", "verify": "study", "data": "data"}  # of losslab study NAME
_OVERRIDE_COMMANDS = ("train", "study", "verify", "data", "evaluate")
_TRAIN_FLAGS = ("--cfg", "--config-dir", "--dry-run", "--help", "--info", "--multirun", "--resolve")


def answer() -> None:
    """Answer the shell when TAB is pressed; Hydra has the scripts that call this."""
    words = completions(os.environ.get("COMP_LINE", ""))
    sys.stdout.write("".join(f"{word}\n" for word in words))
    sys.stdout.flush()


def completions(line: str) -> list[str]:
    """Return the completions of the last word of a line; never prints or fails."""
    _, *words = line.split(" ")
    *before, typed = words or [""]
    candidates: Iterable[str] = []
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        candidates = _candidates(*before, typed=typed) if before else COMMANDS
    return [word for word in candidates if word.startswith(typed)]


def _candidates(command: str, *before: str, typed: str) -> Iterable[str]:
    if command not in COMMANDS:
        return []
    if before and before[-1] == "--by":
        return _metrics(before)
    if typed.startswith("-"):
        return _TRAIN_FLAGS if command == "train" else _flags(command)
    conf = _Conf(before)
    if command == "list":
        return conf.groups
    candidates = _folders(typed) if command in _FOLDER_COMMANDS else []
    if command in _GROUP_OF_NAME and all(word.startswith("-") for word in before):
        candidates += conf.choices(_GROUP_OF_NAME[command])
        candidates += ["all"] if command == "study" else []
    elif command in _OVERRIDE_COMMANDS:
        candidates += conf.overrides(before, typed)
    return candidates


class _Conf:
    """Groups, choices and keys, read from the configuration files and ``--config-dir``."""

    def __init__(self, words: Sequence[str]) -> None:
        custom = [Path(after) for word, after in pairwise(words) if word == "--config-dir"]
        self._folders = [*custom, CONFIG_FOLDER, *STUDY_FOLDERS]
        self.groups = sorted(path.name for path in CONFIG_FOLDER.iterdir() if path.is_dir())

    def choices(self, group: str) -> list[str]:
        """Return the names in a group."""
        return sorted(
            {path.stem for folder in self._folders for path in (folder / group).glob("*.yaml")}
        )

    def overrides(self, before: Sequence[str], typed: str) -> list[str]:
        """Return the completions of an override: keys of the next level, or choices of a group."""
        key, equals, value = typed.partition("=")
        if equals:
            listed = value.rpartition(",")[0]
            prefix = f"{key}={listed}{',' * bool(listed)}"
            return [f"{prefix}{choice}" for choice in self.choices(key.lstrip("+"))]
        config = self._read(CONFIG_FOLDER / "config.yaml")
        config.pop("hydra", None)
        entries = [entry for entry in config.pop("defaults") if isinstance(entry, dict)]
        usual = {group: choice for entry in entries for group, choice in entry.items()}
        chosen = usual | dict(word.split("=", 1) for word in before if "=" in word)
        groups = [group for group in self.groups if group in usual]
        config |= {group: self._node(group, str(chosen[group])) for group in groups}
        node: Any = config
        parent = key.rpartition(".")[0]
        for part in parent.split(".") if parent else ():
            node = node[part]
        prefix = f"{parent}." if parent else ""
        names = [name for name in node if not name.endswith("_")]
        keys = [f"{prefix}{name}{'.' if isinstance(node[name], dict) else '='}" for name in names]
        return keys if parent else [*keys, *(f"{group}=" for group in groups), "+recipe="]

    def _node(self, group: str, choice: str) -> dict[str, Any]:
        """Return the keys and values of a choice, including its defaults list."""
        node: dict[str, Any] = {}
        for folder in reversed(self._folders):
            path = folder / group / f"{choice.split(',')[0]}.yaml"
            values = self._read(path) if path.is_file() else {}
            for base in values.pop("defaults", []):
                node |= self._node(group, base) if isinstance(base, str) else {}
            node |= values
        return node

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        import yaml

        from losslab.files import YAML_LOADER

        try:
            return dict(yaml.load(path.read_text("utf-8"), YAML_LOADER) or {})
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is not YAML") from error


def _flags(command: str) -> list[str]:
    import io
    import re

    from losslab.cli.commands import COMMANDS

    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        COMMANDS[command](["--help"])
    usage = output.getvalue().partition("\n\n")[0]
    return sorted(set(re.findall(r"--[a-z][a-z-]*", usage)))


def _folders(typed: str) -> list[str]:
    """Return the folders that complete a path, by default those in ``outputs``."""
    parent, slash, begin = (typed or "outputs/").rpartition("/")
    try:
        with os.scandir(f"{parent}{slash}" or ".") as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return []
    shown = [name for name in sorted(names) if not name.startswith(".") and name not in _NOT_SWEEPS]
    return [f"{parent}{slash}{name}/" for name in shown if name.startswith(begin)]


def _metrics(words: Sequence[str]) -> list[str]:
    """Return the metrics of the first run found in the folders among the words."""
    import json

    folders = [Path(word) for word in words if not word.startswith("-")]
    patterns = ["*/" * depth + "summary.json" for depth in range(4)]
    files = (path for pattern in patterns for folder in folders for path in folder.glob(pattern))
    summary = next(files, None)
    tags = json.loads(summary.read_text("utf-8")) if summary else {}
    return sorted(tag for tag in tags if "/" in tag)
