"""From overrides to a configuration, with errors that name the nearest right word."""

import copy
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from losslab.experiment.bounds import check_file, check_references
from losslab.experiment.hydra_private import add_folders, apply_overrides
from losslab.experiment.overrides import check_choices, nearest, writing
from losslab.experiment.target_allowlist import allow_modules_of
from losslab.files import CONFIG_FOLDER as CONFIG_FOLDER
from losslab.recording import flatten

# Studies that need code of their own lie with it in a checkout's notebook; a wheel has none.
STUDY_FOLDERS = sorted(path.parent for path in CONFIG_FOLDER.parent.glob("experiments/*/study"))


OF_A_SWEEP = ("launcher", "sweeper")
"""The groups that are no part of a run: who does it, and who asked for it."""

_NO_LOGGING = {"version": 1, "root": None, "disable_existing_loggers": False}
# What a file may not change of Hydra's node: how it is, and what to give instead.
_HYDRA: dict[str, tuple[Any, str]] = {
    "launcher": (
        {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"},
        "give launcher=...",
    ),
    "sweeper": (
        {
            "_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
            "max_batch_size": None,
            "params": None,
        },
        "give what is swept after -m, as in -m optimizer.lr=0.1,0.2, or sweeper=optuna",
    ),
    "mode": (None, "add -m for a sweep"),
    "run": ({"dir": "${output_dir}/${name}"}, "give output_dir=... and name=..."),
    "sweep": (
        {"dir": "${output_dir}/${name}", "subdir": "."},
        "give output_dir=... and name=...",
    ),
    "output_subdir": (None, "each run keeps its own config.yaml"),
    "searchpath": ([], "give --config-dir FOLDER"),
    "callbacks": ({}, "losslab runs none"),
    "verbose": (False, "see each run's log.txt"),
    "job_logging": (_NO_LOGGING, "see each run's log.txt"),
    "hydra_logging": (_NO_LOGGING, "see each run's log.txt"),
}
_HYDRA_JOB: dict[str, tuple[Any, str]] = {
    "chdir": (None, "give output_dir=..."),
    "env_set": ({}, "set it in your shell"),
    "env_copy": ([], "set it in your shell"),
    "name": ("losslab", "give name=..."),
}


class Composer:
    """Hydra for one command: composes as many configurations as are asked for.

    Use it as a context manager: Hydra keeps global state meanwhile.

    Args:
        config_dir: A folder of the user's own with more choices, e.g. ``my_conf/loss/mine.yaml``,
            and the modules that they name. In a checkout, the folders in ``experiments`` that have
            a study with code of its own are found in the same way.

    Raises:
        ValueError: ``config_dir`` is not a folder.
    """

    def __init__(self, config_dir: str | None = None) -> None:
        if config_dir is not None and not Path(config_dir).is_dir():
            raise ValueError(f"--config-dir {config_dir} is not a folder; give one with choices")
        self._own = [] if config_dir is None else [Path(config_dir).resolve()]
        for folder in self._own:
            for depth in ("*.yaml", "*/*.yaml", "*/*/*.yaml"):
                for path in folder.glob(depth):
                    check_file(path)
        self._folders = list(dict.fromkeys([CONFIG_FOLDER, *self._own, *STUDY_FOLDERS]))
        self._stack = ExitStack()
        self._choices: dict[str, list[str]] = {}
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    @property
    def flags(self) -> list[str]:
        """What a command needs before its overrides, to compose the same from any folder."""
        return [text for folder in self._own for text in ("--config-dir", str(folder))]

    def __enter__(self) -> "Composer":
        # A script or notebook may have a Hydra of its own.
        other = GlobalHydra.instance().hydra
        self._stack.callback(lambda: setattr(GlobalHydra.instance(), "hydra", other))
        GlobalHydra.instance().clear()
        self._stack.enter_context(initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"))
        self.hydra = GlobalHydra.instance().hydra
        assert self.hydra is not None
        self.loader = self.hydra.config_loader
        own, more = set(self._own), self._folders[1:]
        add_folders(self.loader, [("command-line" if f in own else "experiments", f) for f in more])
        allow_modules_of(more)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        data = sys.modules.get("losslab.experiment.data")  # which imports torch
        if data is not None:
            data.forget()

    def compose(self, overrides: Sequence[str] = ()) -> DictConfig:
        """Return the configuration, with Hydra's own node ``hydra``.

        Raises:
            ValueError: An override is malformed, names a choice or key that is not there, or sets
                something of Hydra's, which would have no effect: losslab itself launches, sweeps,
                logs and names folders.
        """
        parsed = self.parse(overrides)
        for override in parsed:
            words = re.split("[/.]", override.key_or_group)
            if words[0] == "hydra":  # before it is composed: a searchpath imports what it names
                raise ValueError(_refused(words[1:], override.input_line or ""))
        check_choices(parsed, self.choices, usual_choices())
        try:
            config = self._compose(overrides)
            values: Any = OmegaConf.to_container(config, resolve=False)
        # OmegaConf raises TypeError for a name where a list has numbers.
        except (HydraException, OmegaConfBaseException, TypeError) as error:
            raise ValueError(self._explain(error, overrides)) from error
        except YAMLError as error:  # it names the file
            raise ValueError(f"cannot read a choice ({' '.join(str(error).split())})") from error
        _check_hydra(values.pop("hydra"))
        check_references(values)
        return config

    def vary(self, overrides: Sequence[str]) -> DictConfig:
        """Return the same as :meth:`compose`, sooner where only values differ from the last time.

        Hydra reads twenty files for a configuration, and a sweep has thousands of them.

        Raises:
            ValueError: As :meth:`compose`.
        """
        parsed = self.parse(overrides)
        # What adds or removes keys goes in the order in which it was typed.
        plain = all(not (o.is_add() or o.is_force_add() or o.is_delete()) for o in parsed)
        values = [o for o in parsed if self._is_value(o)] if plain else []
        if not values:
            return self.compose(overrides)
        kept = tuple(o.input_line or "" for o in parsed if not self._is_value(o))
        try:
            if kept not in self._composed:
                self._composed = {kept: self.compose(kept)}
            config = copy.deepcopy(self._composed[kept])
            apply_overrides(values, config)
        except (ValueError, HydraException, OmegaConfBaseException):
            return self.compose(overrides)  # it explains what is wrong
        return config

    def _is_value(self, override: Override) -> bool:
        key = override.key_or_group
        return override.package is None and not key.startswith("hydra") and not self.choices(key)

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        """Return the parsed overrides.

        Raises:
            ValueError: One is malformed.
        """
        parser = OverridesParser.create(config_loader=self.loader)
        parsed = []
        for text in overrides:
            try:
                override = parser.parse_override(text)
            except HydraException as error:
                raise ValueError(
                    f"cannot read the override {text!r} ({_first_line(error)}); "
                    f"{writing(text, parser)}"
                ) from error
            override.config_loader = self.loader  # for glob(...)
            if not override.key_or_group:
                raise ValueError(f"the override {text!r} has no key; write key=value")
            parsed.append(override)
        return parsed

    def choices(self, group: str) -> list[str]:
        """Return the names that can be chosen in a group, sorted."""
        if group not in self._choices:  # Hydra looks through all its folders each time
            self._choices[group] = sorted(self.loader.get_group_options(group))
        return self._choices[group]

    def file(self, group: str, choice: str) -> Path:
        """Return the file of a choice."""
        files = (folder / group / f"{choice}.yaml" for folder in self._folders)
        return next(path for path in files if path.exists())

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        assert self.hydra is not None
        return self.hydra.compose_config(
            config_name="config",
            overrides=list(overrides),
            run_mode=RunMode.RUN,
            from_shell=False,
        )

    def _explain(self, error: Exception, overrides: Sequence[str]) -> str:
        ambiguous = re.match("Ambiguous value for argument '(.+)'", str(error))
        if ambiguous:
            return f"{ambiguous.group(1)} has several values; sweep over them with -m"
        not_a_number = re.match(r"Index '(.+)' \(str\) is not an int", str(error))
        if not_a_number:
            word = not_a_number.group(1)
            keys = (override.key_or_group for override in self.parse(overrides))
            key = next((key for key in keys if word in key.split(".")), word)
            return f"{key!r}: {word!r} names an item of a list; give its number, 0 for the first"
        match = re.search(
            r"Could not (?:override|append|delete from config\.) '([\w.]+)'", str(error)
        )
        if match is None:
            return _first_line(error)
        key = match.group(1)
        groups = [
            text
            for text, override in zip(overrides, self.parse(overrides), strict=True)
            if override.is_add() or override.key_or_group in usual_choices()
        ]
        try:
            config = self._compose(groups)
        except (HydraException, OmegaConfBaseException):
            return _first_line(error)
        hydra = key.startswith("hydra.")
        sweep = {*leaves(config.launcher, "launcher."), *leaves(config.sweeper, "sweeper.")}
        known = {*leaves(without_hydra(config)), *sweep}
        if hydra:
            known = {*leaves(config.hydra, "hydra.")}
        where = f"with `losslab train --cfg {'hydra' if hydra else 'job'}`"
        if key in known:  # Hydra takes a value of null for a key that is not there
            return f"~{key} takes away what is null already; leave it out"
        if key.startswith("study."):
            where = "in the study's file in conf/study"
        group, dot, rest = key.partition(".")
        known = {word for word in known if not word.endswith("_")}  # but for _target_ and the like
        instead = nearest(key, known if dot else known | usual_choices().keys())
        choice = config.hydra.runtime.choices.get(group) if dot else None
        lacks = f": {group}={choice} has no {rest}" if choice else ""
        if lacks:
            # Of other groups, nothing is meant, however alike.
            below = [word for word in known if word.startswith(f"{group}.")]
            alike = nearest(rest, [word.removeprefix(f"{group}.") for word in below])
            instead = alike.replace("mean '", f"mean '{group}.")
        return f"unknown key {key!r}{lacks}{instead}; see every key {where}"


def without_hydra(config: DictConfig) -> DictConfig:
    """Return the configuration of a run alone: without Hydra's own node, and who launches it."""
    copy = config.copy()
    OmegaConf.set_struct(copy, False)
    for key in ("hydra", *OF_A_SWEEP):
        copy.pop(key, None)
    OmegaConf.set_struct(copy, True)
    return copy


def leaves(config: DictConfig, prefix: str = "") -> list[str]:
    """Return the dotted key of every value."""
    values: Any = OmegaConf.to_container(config, resolve=False)
    return list(flatten(values, prefix))


def choices_of(hydra: DictConfig) -> dict[str, str]:
    """Return group to choice, e.g. ``{"loss": "mse"}``, from Hydra's own node."""
    chosen = hydra.runtime.choices
    return {
        group: chosen[group]
        for group in usual_choices()
        if group not in OF_A_SWEEP and chosen.get(group) is not None
    }


@cache
def usual_choices() -> dict[str, str]:
    """Return group to choice of the defaults list in ``conf/config.yaml``, in its order."""
    primary = OmegaConf.load(CONFIG_FOLDER / "config.yaml")
    return {
        str(group): str(choice)
        for entry in primary.defaults
        if isinstance(entry, DictConfig)
        for group, choice in entry.items()
        if not str(group).startswith("override ")
    }


def _check_hydra(hydra: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` where a file sets something of Hydra's that a command would follow."""
    for table, node, above in ((_HYDRA, hydra, []), (_HYDRA_JOB, hydra["job"], ["job"])):
        for key, (usual, _) in table.items():
            if node[key] != usual:
                names, value = _differing([*above, key], node[key], usual)
                raise ValueError(_refused(names, f"{'.'.join(['hydra', *names])}={value}"))


def _differing(names: list[str], value: Any, usual: Any) -> tuple[list[str], Any]:
    """Return the first leaf that is not as usual: its keys, and its value as a file has it."""
    for key, below in value.items() if isinstance(value, Mapping) else ():
        before = usual.get(key) if isinstance(usual, Mapping) else None
        if below != before:
            return _differing([*names, str(key)], below, before)
    return names, getattr(value, "name", str(value).lower() if value is True else value)


def _refused(key: Sequence[str], given: str) -> str:
    table = _HYDRA_JOB if key[0] == "job" else _HYDRA
    name = "".join(key[1:2]) if key[0] == "job" else key[0]
    _, instead = table.get(name, (None, "leave it out"))
    return f"{given} has no effect: losslab launches, sweeps and logs itself; {instead}"


def _first_line(error: Exception) -> str:
    """Return the first line, and the next where the first only says where it happened."""
    first, _, rest = str(error).strip().partition("\n")
    return f"{first} {rest.partition(chr(10))[0]}" if first.endswith(":") else first
