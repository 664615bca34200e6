"""Compose configurations from overrides, with errors that suggest the nearest known word."""

import copy
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import cache, reduce
from operator import getitem
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import Container, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from losslab.experiment.hydra_private import add_folders, apply_overrides
from losslab.experiment.overrides import check_choices, syntax_advice
from losslab.experiment.target_allowlist import allow_modules_of
from losslab.files import LARGEST_YAML, check_yaml, one_line, read_bytes
from losslab.folders import CONFIG_FOLDER as CONFIG_FOLDER
from losslab.folders import STUDY_FOLDERS as STUDY_FOLDERS
from losslab.recording import flatten
from losslab.text import nearest

SWEEP_GROUPS = ("launcher", "sweeper")
"""The groups that belong to a sweep rather than to a run."""

OPTIONAL_GROUPS = ("recipe",)
"""The optional groups, chosen with a +: ``+recipe=cifar10_fast``."""

_ABSENT = object()
_NO_LOGGING = {"version": 1, "root": None, "disable_existing_loggers": False}
_BASIC = "hydra._internal.core_plugins.basic_"
# Keys below ``hydra`` that a file may not change, with the usual value and what to give instead.
_HYDRA: dict[str, tuple[Any, str]] = {
    "launcher": ({"_target_": f"{_BASIC}launcher.BasicLauncher"}, "give launcher=..."),
    "sweeper": (
        {"_target_": f"{_BASIC}sweeper.BasicSweeper", "max_batch_size": None, "params": None},
        "give what is swept after -m, as in -m optimizer.lr=0.1,0.2, or sweeper=optuna",
    ),
    "mode": (None, "add -m for a sweep"),
    "run.dir": ("${output_dir}/${name}", "give output_dir=... and name=..."),
    "sweep.dir": ("${output_dir}/${name}", "give output_dir=... and name=..."),
    "sweep.subdir": (".", "give output_dir=... and name=..."),
    "output_subdir": (None, "each run keeps its own config.yaml"),
    "searchpath": ([], "give --config-dir FOLDER"),
    "callbacks": ({}, "losslab runs none"),
    "verbose": (False, "see each run's log.txt"),
    "job_logging": (_NO_LOGGING, "see each run's log.txt"),
    "hydra_logging": (_NO_LOGGING, "see each run's log.txt"),
    "job.chdir": (None, "give output_dir=..."),
    "job.env_set": ({}, "set it in your shell"),
    "job.env_copy": ([], "set it in your shell"),
    "job.name": ("losslab", "give name=..."),
}


_MOST_COMPOSED = 50  # configurations in the cache, up to a megabyte each
_MOST_REFERENCES = 12  # to what has references itself


class Composer:
    """Hydra for one command, as a context manager: composes any number of configurations.

    ``config_dir`` is a folder with more choices, e.g. ``my_conf/loss/mine.yaml``, and the modules
    that they use; ``ValueError`` if it is not a folder, or has a choice that would exhaust memory.
    """

    def __init__(self, config_dir: str | None = None) -> None:
        if config_dir is not None and not Path(config_dir).is_dir():
            raise ValueError(f"--config-dir {config_dir} is not a folder; give one with choices")
        self._custom = [] if config_dir is None else [Path(config_dir).resolve()]
        for folder in self._custom:
            for depth in ("*.yaml", "*/*.yaml", "*/*/*.yaml"):
                for path in folder.glob(depth):
                    _check_file(path)
        self._folders = list(dict.fromkeys([CONFIG_FOLDER, *self._custom, *STUDY_FOLDERS]))
        self._stack = ExitStack()
        self._choices: dict[str, list[str]] = {}
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    @property
    def flags(self) -> list[str]:
        """The flags that make a command independent of the working folder."""
        return [text for folder in self._custom for text in ("--config-dir", str(folder))]

    def __enter__(self) -> "Composer":
        # A script or notebook may have initialised Hydra itself.
        other = GlobalHydra.instance().hydra
        self._stack.callback(lambda: setattr(GlobalHydra.instance(), "hydra", other))
        GlobalHydra.instance().clear()
        self._stack.enter_context(initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"))
        self.hydra = GlobalHydra.instance().hydra
        assert self.hydra is not None
        self.loader = self.hydra.config_loader
        folders = self._folders[1:]
        providers = [
            "command-line" if folder in self._custom else "experiments" for folder in folders
        ]
        add_folders(self.loader, zip(providers, folders, strict=True))
        allow_modules_of(folders)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        data = sys.modules.get("losslab.experiment.data")  # which imports torch
        if data is not None:
            data.forget()

    def compose(self, overrides: Sequence[str] = ()) -> DictConfig:
        """Return the configuration, with Hydra's node ``hydra``; reject wrong overrides."""
        parsed = self.parse(overrides)
        for override in parsed:
            first, _, key = override.key_or_group.replace("/", ".").partition(".")
            if first == "hydra":  # before it is composed: a searchpath imports what it names
                raise ValueError(_refused(key, override.input_line or ""))
        check_choices(parsed, self.choices, default_choices())
        try:
            config = self._compose(overrides)
            values: Any = OmegaConf.to_container(config, resolve=False)
        # OmegaConf raises TypeError for a name where a list has numbers.
        except (HydraException, OmegaConfBaseException, TypeError) as error:
            raise ValueError(self._explain(error, overrides)) from error
        except YAMLError as error:  # it names file and line
            advice = "correct it; text with : [ ] { } or # in it needs quotes"
            raise ValueError(f"cannot read YAML: {one_line(error)}; {advice}") from error
        _check_hydra(values.pop("hydra"))
        _check_references(values)
        self._check_global(config, {override.key_or_group for override in parsed})
        return config

    def _check_global(self, config: DictConfig, typed: Collection[str]) -> None:
        """Reject keys that a custom choice sets outside its group and another file overrides."""
        composed = flat(config)
        chosen = config.hydra.runtime.choices.items()
        for path in (
            folder / str(g) / f"{choice}.yaml" for folder in self._custom for g, choice in chosen
        ):
            text = path.read_text("utf-8") if path.is_file() else ""
            if not re.search(r"^# *@package +_global_", text, re.MULTILINE):
                continue
            node = OmegaConf.load(path)
            for key, value in flat(node).items() if isinstance(node, DictConfig) else ():
                parents = {".".join(key.split(".")[:n]) for n in range(1, key.count(".") + 2)}
                if parents & {"defaults", *typed} or composed.get(key, _ABSENT) == value:
                    continue
                if key.startswith("hydra."):
                    raise ValueError(_refused(key.removeprefix("hydra."), f"{path}: {key}"))
                why = f"as a file that is composed later also sets {key}; type {key}=..."
                raise ValueError(f"{path} sets {key}, which has no effect, {why}")

    def vary(self, overrides: Sequence[str]) -> DictConfig:
        """Return the same as :meth:`compose`, faster if only values differ from earlier calls.

        Hydra reads twenty files for a configuration, and a sweep has thousands of configurations.
        """
        parsed = self.parse(overrides)
        # Overrides that add or remove keys depend on the order in which they were typed.
        plain = all(not (o.is_add() or o.is_force_add() or o.is_delete()) for o in parsed)
        values = [o for o in parsed if self._is_value(o)] if plain else []
        if not values:
            return self.compose(overrides)
        kept = tuple(o.input_line or "" for o in parsed if not self._is_value(o))
        try:
            if kept not in self._composed:
                if len(self._composed) == _MOST_COMPOSED:
                    self._composed.clear()
                self._composed[kept] = self.compose(kept)
            config = copy.deepcopy(self._composed[kept])
            apply_overrides(values, config)
        except (ValueError, HydraException, OmegaConfBaseException):
            return self.compose(overrides)  # for its error message
        return config

    def _is_value(self, override: Override) -> bool:
        key = override.key_or_group
        return override.package is None and not key.startswith("hydra") and not self.choices(key)

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        """Return the parsed overrides; raise ``ValueError`` if one is malformed."""
        parser = OverridesParser.create(config_loader=self.loader)
        parsed = []
        for text in overrides:
            if "=" not in text and not text.startswith("~"):
                groups = [group for group in default_choices() if text in self.choices(group)]
                meant = f" (did you mean {f'{groups[0]}={text}'!r}?)" if groups else ""
                rule = "write key=value, without spaces around ="
                raise ValueError(f"{text!r} is not an override{meant}; {rule}")
            try:
                override = parser.parse_override(text)
            except HydraException as error:
                rest = f"({_first_line(error)}); {syntax_advice(text, parser)}"
                raise ValueError(f"cannot read the override {text!r} {rest}") from error
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

    def groups(self) -> list[str]:
        """Return the config groups, those of a run in the order of the defaults list first."""
        folders = sorted(path.name for path in CONFIG_FOLDER.iterdir() if path.is_dir())
        return list(dict.fromkeys([*default_choices(), *folders]))

    def descriptions(self, group: str) -> dict[str, str]:
        """Return choice to its description: the first comment of its file."""
        descriptions = {}
        for choice in self.choices(group):
            files = (folder / group / f"{choice}.yaml" for folder in self._folders)
            text = next(path for path in files if path.exists()).read_text("utf-8")
            comment = re.search(r"^# +(?!@package)(.*)", text, re.MULTILINE)
            descriptions[choice] = comment[1] if comment else ""
        return descriptions

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        assert self.hydra is not None
        return self.hydra.compose_config("config", list(overrides), RunMode.RUN, from_shell=False)

    def _explain(self, error: Exception, overrides: Sequence[str]) -> str:
        if ambiguous := re.match("Ambiguous value for argument '(.+)'", str(error)):
            return f"{ambiguous[1]} has several values; sweep over them with -m"
        if not_a_number := re.match(r"Index '(.+)' \(str\) is not an int", str(error)):
            word = not_a_number[1]
            typed = (override.key_or_group for override in self.parse(overrides))
            key = next((key for key in typed if word in key.split(".")), word)
            return f"{key!r}: {word!r} names an item of a list; give its number, 0 for the first"
        if str(error).startswith("list indices must be integers"):
            items = [t for t in overrides if re.match(r"~.*\.\d+$", t)]
            return f"{' '.join(items)} removes an item of a list; give the whole list without it"
        could_not = r"Could not (?:override|append|delete from config\.) '([\w.]+)'"
        match = re.search(could_not, str(error))
        if match is None:
            return _first_line(error)
        key = match[1]
        if key in OPTIONAL_GROUPS:
            return f"{key} is optional; add it with +{key}=..."
        parsed = zip(overrides, self.parse(overrides), strict=True)
        kept = [text for text, o in parsed if o.is_add() or o.key_or_group in default_choices()]
        try:
            config = self._compose(kept)
        except (HydraException, OmegaConfBaseException):
            return _first_line(error)
        keys = [*flat(without_hydra(config)), *flat(config.launcher, "launcher.")]
        keys += flat(config.sweeper, "sweeper.")
        if key in keys:  # Hydra treats a null value as a missing key
            return f"~{key} removes a value that is already null; leave it out"
        keys = [name for name in keys if not name.endswith("_")]  # not _target_ and the like
        group, dot, name = key.partition(".")
        choice = config.hydra.runtime.choices.get(group) if dot else None
        if choice:  # suggest keys of the same group only
            names = [key.removeprefix(f"{group}.") for key in keys if key.startswith(f"{group}.")]
            meant = nearest(name, names).replace("mean '", f"mean '{group}.")
            meant = f": {group}={choice} has no {name}{meant}"
        else:
            meant = nearest(key, keys if dot else [*keys, *default_choices()])
        in_file = key.startswith("study.")
        place = "in the study's file in conf/study" if in_file else "with `losslab train --cfg job`"
        return f"unknown key {key!r}{meant}; see every key {place}"


def without_hydra(config: DictConfig) -> DictConfig:
    """Return the configuration of a run: without Hydra's node, launcher and sweeper."""
    copy = config.copy()
    OmegaConf.set_struct(copy, False)
    for key in ("hydra", *SWEEP_GROUPS):
        copy.pop(key, None)
    OmegaConf.set_struct(copy, True)
    return copy


def flat(config: Container, prefix: str = "") -> dict[str, Any]:
    """Return dotted key to value, with references unresolved."""
    values: Any = OmegaConf.to_container(config, resolve=False)
    return flatten(values, prefix)


def choices_of(hydra: DictConfig) -> dict[str, str]:
    """Return group to choice, e.g. ``{"loss": "mse"}``, from Hydra's node."""
    chosen = hydra.runtime.choices
    return {
        group: chosen[group]
        for group in default_choices()
        if group not in SWEEP_GROUPS and chosen.get(group) is not None
    }


@cache
def default_choices() -> dict[str, str]:
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
    """Raise ``ValueError`` if a file sets a key of :data:`_HYDRA`."""
    for key, (usual, _) in _HYDRA.items():
        value = reduce(getitem, key.split("."), hydra)
        if value != usual:
            values, usual_values = flatten({key: value}), flatten({key: usual})
            name = next((name for name in values if values[name] != usual_values.get(name)), key)
            shown = values.get(name)
            shown = "true" if shown is True else getattr(shown, "name", shown)
            raise ValueError(_refused(name, f"hydra.{name}={shown}"))


def _refused(key: str, override: str) -> str:
    matches = (text for name, (_, text) in _HYDRA.items() if f"{key}.".startswith(f"{name}."))
    advice = next(matches, "leave it out")
    return f"{override} has no effect: losslab launches, sweeps and logs itself; {advice}"


def _check_file(path: Path) -> None:
    """Reject a choice that is not a regular file or would exhaust memory."""
    try:
        check_yaml(read_bytes(path, most=LARGEST_YAML), references=True)
    except YAMLError:
        pass  # Hydra reports it if the file is chosen
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be a choice: {error}") from None


def _check_references(values: Mapping[str, Any]) -> None:
    """Reject deeply nested references, whose expansion grows exponentially."""
    texts: list[tuple[set[str], str]] = []

    def visit(node: Any, names: tuple[str, ...]) -> None:
        if isinstance(node, Mapping | list):
            for key, item in node.items() if isinstance(node, Mapping) else enumerate(node):
                visit(item, (*names, str(key)))
        elif isinstance(node, str) and "${" in node:
            texts.append((set(names), node))

    visit(values, ())
    with_references = set().union(*(names for names, _ in texts))
    count = 0
    for _, text in texts:
        for rest in text.split("${")[1:]:
            reference, closed, _ = rest.partition("}")
            count += not closed or bool(with_references & set(re.findall(r"\w+", reference)))
    if count > _MOST_REFERENCES:
        raise ValueError(
            f"the configuration has {count} references ${{...}} to values with references; "
            f"give at most {_MOST_REFERENCES}"
        )


def _first_line(error: Exception) -> str:
    """Return the first line of an error, and the second if the first ends with a colon."""
    first, _, rest = str(error).strip().partition("\n")
    return f"{first} {rest.partition(chr(10))[0]}" if first.endswith(":") else first
