"""Data sets by name, from the files in ``conf/data``, without Hydra."""

import os
import re
from collections.abc import Callable, Mapping
from functools import partial, wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any

import yaml

from losslab.folders import CONFIG_FOLDER

if TYPE_CHECKING:
    from losslab.data.parts import Dataset


def or_named(load: Callable[..., "Dataset"]) -> Callable[..., "Dataset"]:
    """Let a function of a source and keyword options accept a name in place of the source."""

    @wraps(load)
    def load_or_named(source: Any, **options: Any) -> "Dataset":
        if isinstance(source, str):
            options = _options(source, options)
            source = options.pop("source")
        return load(source, **options)

    return load_or_named


def _options(name: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options in the file of a data set, instantiated, with ``overrides``."""
    files = {path.stem: path for path in sorted((CONFIG_FOLDER / "data").glob("*.yaml"))}
    if name not in files:
        raise ValueError(f"unknown data {name!r}; allowed are {', '.join(files)}")
    options: dict[str, Any] = yaml.safe_load(files[name].read_text("utf-8")) | dict(overrides)
    del options["_target_"]
    missing = [key for key, value in options.items() if value == "???"]
    if missing:
        raise ValueError(f"{name} needs {missing[0]}; give {missing[0]}=...")
    return {key: _instantiated(value, options) for key, value in options.items()}


def _instantiated(value: Any, options: Mapping[str, Any]) -> Any:
    """Instantiate a node or resolve an interpolation; other values stay as they are."""
    if isinstance(value, dict):
        arguments = {key: item for key, item in value.items() if not key.startswith("_")}
        target = getattr(import_module("losslab.data"), value["_target_"].rpartition(".")[2])
        return partial(target, **arguments) if value.get("_partial_") else target(**arguments)
    if not isinstance(value, str):
        return value
    variable = re.fullmatch(r"\$\{oc\.env:(\w+),'(.*)'\}", value)
    if variable:
        return os.environ.get(variable.group(1), variable.group(2))
    option = re.fullmatch(r"\$\{\.(\w+)\}", value)
    return str(options[option.group(1)]) if option else value
