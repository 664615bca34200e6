"""Tab completion; the shell waits for it, so slow imports happen only where they are needed."""

import contextlib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from losslab.folders import CONFIG_FOLDER, STUDY_FOLDERS

COMMANDS = (
    *("train", "study", "verify", "report", "runs", "best", "compare", "board", "list"),
    *("data", "evaluate", "explore"),
)
"""The names of all commands."""

_OF_FOLDERS = ("report", "board", "runs", "best", "compare", "evaluate")
_NO_RUNS = ("figures", "over_seeds", "best")
_TO_NAME = {"study": "study", "verify": "study", "data": "data"}  # command to the group of its NAME
_WITH_OVERRIDES = ("train", "study", "verify", "data", "evaluate")
_OF_TRAIN = ("--cfg", "--config-dir", "--dry-run", "--help", "--info", "--multirun", "--resolve")


def answer() -> None:
    """Answer the shell when TAB is pressed; Hydra has the scripts that make it ask."""
    found = completions(os.environ.get("COMP_LINE", ""))
    sys.stdout.write("".join(f"{each}\n" for each in found))
    sys.stdout.flush()


def completions(line: str) -> list[str]:
    """Return the completions of the last word of a line; never prints or fails."""
    _, *words = line.split(" ")
    *before, typed = words or [""]
    found: Iterable[str] = []
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        found = _offered(before, typed) if before else COMMANDS
    return [each for each in found if each.startswith(typed)]


def _offered(before: Sequence[str], typed: str) -> Iterable[str]:
    name, *given = before
    if name not in COMMANDS:
        return []
    if given and given[-1] == "--by":
        return _metrics(given)
    if typed.startswith("-"):
        return _OF_TRAIN if name == "train" else _flags(name)
    conf = _Conf(given)
    named = any(not word.startswith("-") for word in given)
    if name == "list":
        return conf.groups
    found = _folders(typed) if name in _OF_FOLDERS else []
    if name in _TO_NAME and not named:
        found += [*conf.choices(_TO_NAME[name]), *(["all"] if name == "study" else [])]
    elif name in _WITH_OVERRIDES:
        found += conf.overrides(given, typed)
    return found


class _Conf:
    """Groups, choices and keys, read from the configuration files and ``--config-dir``."""

    def __init__(self, given: Sequence[str]) -> None:
        own = [given[at + 1] for at, word in enumerate(given[:-1]) if word == "--config-dir"]
        self._folders = [*map(Path, own), CONFIG_FOLDER, *STUDY_FOLDERS]
        self.groups = sorted(path.name for path in CONFIG_FOLDER.iterdir() if path.is_dir())

    def choices(self, group: str) -> list[str]:
        """Return the names in a group."""
        return sorted(
            {path.stem for folder in self._folders for path in (folder / group).glob("*.yaml")}
        )

    def overrides(self, given: Sequence[str], typed: str) -> list[str]:
        """Return the completions of an override: keys of the next level, or choices of a group."""
        key, equals, value = typed.partition("=")
        if equals:
            listed = value.rpartition(",")[0]
            begin = f"{key}={listed}{',' * bool(listed)}"
            return [f"{begin}{choice}" for choice in self.choices(key.lstrip("+"))]
        config = self._read(CONFIG_FOLDER / "config.yaml")
        usual = [entry for entry in config.pop("defaults") if isinstance(entry, dict)]
        chosen = {group: choice for entry in usual for group, choice in entry.items()}
        chosen |= dict(word.split("=", 1) for word in given if "=" in word)
        config.pop("hydra", None)
        added = [group for group in self.groups if not any(group in entry for entry in usual)]
        config |= {
            group: self._node(group, str(chosen[group]))
            for group in self.groups
            if group not in added
        }
        node: Any = config
        above = key.rpartition(".")[0]
        for part in above.split(".") if above else ():
            node = node[part]
        begin = f"{above}." if above else ""
        names = [name for name in node if not name.endswith("_")]
        keys = [f"{begin}{name}{'.' if isinstance(node[name], dict) else '='}" for name in names]
        groups = [f"{group}=" for group in self.groups if group not in added]
        return keys if above else keys + groups + ["+recipe="]

    def _node(self, group: str, choice: str) -> dict[str, Any]:
        """Return the keys and values of a choice, including its defaults list."""
        found: dict[str, Any] = {}
        for folder in reversed(self._folders):
            path = folder / group / f"{choice.split(',')[0]}.yaml"
            own = self._read(path) if path.is_file() else {}
            for other in own.pop("defaults", []):
                found |= self._node(group, other) if isinstance(other, str) else {}
            found |= own
        return found

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        import yaml

        from losslab.files import YAML_LOADER

        try:
            return dict(yaml.load(path.read_text("utf-8"), YAML_LOADER) or {})
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is no YAML") from error


def _flags(name: str) -> list[str]:
    import io
    import re

    from losslab.cli.commands import COMMANDS

    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        COMMANDS[name](["--help"])
    usage = shown.getvalue().partition("\n\n")[0]
    return sorted(set(re.findall(r"--[a-z][a-z-]*", usage)))


def _folders(typed: str) -> list[str]:
    """Return the folders that complete a path, by default those in ``outputs``."""
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
    """Return the metrics of the first run found in the folders among the words."""
    import json

    folders = [Path(word) for word in words if not word.startswith("-")]
    depths = [f"{above}summary.json" for above in ("", "*/", "*/*/", "*/*/*/")]
    files = (path for depth in depths for folder in folders for path in folder.glob(depth))
    first = next(files, None)
    return (
        sorted(tag for tag in json.loads(first.read_text("utf-8")) if "/" in tag) if first else []
    )
