"""What a configuration may name as a ``_target_``, so that a file of somebody else runs no code.

A configuration is text that people pass on. Without this list, one line in it could call any
function of any installed package, ``os.system`` among them.
"""

import importlib.machinery
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

VARIABLE = "LOSSLAB_ALLOW"
"""Environment variable with further packages or modules, separated by commas."""

ALLOWED = (
    *("losslab.data", "losslab.models", "losslab.losses", "losslab.diagnostics"),
    *("losslab.training.settings", "losslab.training.schedules", "losslab.study"),
    *("losslab.launchers.local", "losslab.launchers.ray_cluster", "losslab.launchers.slurm"),
    *("losslab.sweepers.grid", "losslab.sweepers.search"),
    *("torch.nn", "torch.optim"),
)
"""Where what is named may be defined."""

# Of the packages above, what writes files where it is told to.
_NOT_ALLOWED = ("losslab.data.cache", "losslab.data.download", "losslab.study.train")
# Names by which those packages give what is in their modules.
_SHORT = ("losslab.training.", "losslab.launchers.", "losslab.sweepers.")
_HYDRA = (
    *("hydra._internal.core_plugins", "hydra.experimental.callbacks", "hydra_plugins"),
    "optuna.samplers",
)
_HYDRA_NODES = ("launcher", "sweeper", "callbacks")
# Environment variables that make other programs, or this list, do something else.
_NOT_SET = re.compile("(LD_|DYLD_|PYTHON|GIT_|PATH$|LOSSLAB_ALLOW$)", re.IGNORECASE)


def check_name(path: str, name: str) -> None:
    """Check a ``_target_`` before anything is imported for it.

    Allowed are :data:`ALLOWED`, modules in the working folder, where one's own losses are, and
    what :data:`VARIABLE` lists.

    Args:
        path: Dotted.
        name: The dotted key of its node.

    Raises:
        ValueError: It is none of these.
    """
    listed = _is_below(path, (*ALLOWED, *_more())) or path.startswith(_SHORT)
    module = path.partition(".")[0]
    # Of what is not there, its import says so.
    if not listed and not is_ones_own(module) and _find(module) is not None:
        raise ValueError(_refusal(path, name))


def check_definition(target: Any, path: str, name: str) -> None:
    """Check where the object is defined that a ``_target_`` led to.

    A name may lead astray: ``my_loss.os.system`` begins in a module of one's own.

    Raises:
        ValueError: In none of the places that :func:`check_name` allows.
    """
    module = getattr(target, "__module__", None)
    module = module if isinstance(module, str) else type(target).__module__
    allowed = _is_below(module, ALLOWED) and not _is_below(module, _NOT_ALLOWED)
    if not (allowed or _is_below(module, _more()) or is_ones_own(module.partition(".")[0])):
        raise ValueError(_refusal(path, name))


def check_hydra(hydra: Mapping[str, Any]) -> None:
    """Check what Hydra itself would make: its launcher, sweeper and callbacks, and its logging.

    Args:
        hydra: Hydra's own node, as plain keys and values.

    Raises:
        ValueError: One is not of Hydra or its plugins, nor in the working folder.
    """
    for key in _HYDRA_NODES:
        for path, where in targets(hydra.get(key), f"hydra.{key}"):
            known = _is_below(path, (*_HYDRA, *_more()))
            if not (known or is_ones_own(path.partition(".")[0])):
                raise ValueError(_refusal(path, where))
    for key in ("job_logging", "hydra_logging"):
        for path, where in targets(hydra.get(key), f"hydra.{key}", marks=("()", "class")):
            if not _is_below(path, ("logging", "colorlog", *_more())):
                raise ValueError(_refusal(path, where))
    variables = (hydra.get("job") or {}).get("env_set") or {}
    for variable in filter(_NOT_SET.match, variables):
        raise ValueError(
            f"hydra.job.env_set.{variable} changes which programs run; set it in your shell"
        )


def is_ones_own(module: str) -> bool:
    """Return whether a top-level module is a file or a package in the working folder itself.

    Nothing is imported. Installed packages are not one's own, wherever they are installed.
    """
    spec, here = _find(module), Path.cwd()
    if spec is None or module in sys.stdlib_module_names:
        return False
    places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
    return bool(places) and all(
        place is not None and Path(place) in _places(here, module) for place in places
    )


def _find(module: str) -> importlib.machinery.ModuleSpec | None:
    if not module.isidentifier():
        return None
    if module in sys.builtin_module_names:
        return importlib.machinery.BuiltinImporter.find_spec(module)
    folders = [entry or str(Path.cwd()) for entry in sys.path]
    return importlib.machinery.PathFinder.find_spec(module, folders)


def _places(here: Path, module: str) -> Iterator[Path]:
    yield here / f"{module}.py"
    yield here / module / "__init__.py"
    yield here / module


def targets(
    values: Any, name: str, *, marks: tuple[str, ...] = ("_target_",)
) -> Iterator[tuple[str, str]]:
    """Yield what is named anywhere in keys, values and lists, with the dotted key of its node."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            if key in marks and isinstance(value, str):
                yield value, name
            else:
                yield from targets(value, f"{name}.{key}", marks=marks)
    elif isinstance(values, list | tuple):
        for index, value in enumerate(values):
            yield from targets(value, f"{name}[{index}]", marks=marks)


def _more() -> tuple[str, ...]:
    listed = os.environ.get(VARIABLE, "").split(",")
    return tuple(text.strip().rstrip(".") for text in listed if text.strip().rstrip("."))


def _is_below(path: str, packages: tuple[str, ...]) -> bool:
    return any(path == package or path.startswith(f"{package}.") for package in packages)


def _refusal(path: str, name: str) -> str:
    return (
        f"{name}._target_={path} is not on the list of what a configuration may make: "
        f"losslab's own parts, torch.nn, torch.optim, and modules in the working folder; where you "
        f"trust it, set {VARIABLE}={path.rpartition('.')[0] or path}"
    )


# What of Hydra has an effect where Hydra's own sweeper or launcher is typed, and is there alone.
_OF_HYDRAS_SWEEP = (
    *("hydra.launcher", "hydra.sweeper", "hydra.callbacks", "hydra.verbose", "hydra.job.name"),
    *("hydra.job_logging", "hydra.hydra_logging", "hydra.job.env_copy"),
)
# What Hydra itself notes there.
_NOTED = (
    *("hydra.overrides", "hydra.runtime", "hydra.mode"),
    *("hydra.job.override_dirname", "hydra.job.config_name"),
)
_LONG = 40
_INSTEAD = {
    "hydra.mode": "add -m for a sweep",
    "hydra.sweeper": "type what is swept, such as -m optimizer.lr=0.1,0.2, and sweeper=...",
    "hydra.launcher": "type launcher=...",
    "hydra.run": "give output_dir=... and name=... instead",
    "hydra.sweep": "give output_dir=... and name=... instead",
    "hydra.output_subdir": "a run's config.yaml is in its own folder",
    "hydra.job.chdir": "give output_dir=... instead",
    "hydra.job.env_set": "set it in your shell",
    "hydra.searchpath": "give --config-dir FOLDER instead",
    "hydra.verbose": "each run has a log.txt",
    "hydra.job_logging": "each run has a log.txt",
    "hydra.hydra_logging": "each run has a log.txt",
}


def check_settings(hydra: Mapping[str, Any], usual: Mapping[str, Any]) -> None:
    """Refuse each of Hydra's settings that is not as usual and would have no effect.

    Args:
        hydra: Hydra's own node, as plain keys and values.
        usual: The same where nothing is set.

    Raises:
        ValueError: There is one; with what to type instead.
    """
    typed = any(re.match(r"[+]*hydra/(launcher|sweeper)=", o) for o in hydra["overrides"]["hydra"])
    with_effect = (*_NOTED, *(_OF_HYDRAS_SWEEP if typed else ()))
    if hydra["mode"] != usual["mode"]:
        raise ValueError(refused_setting("hydra.mode", hydra["mode"].name))
    before = dict(_settings(usual, "hydra"))
    now = dict(_settings(hydra, "hydra"))
    now["hydra.job.chdir"] = now.get("hydra.job.chdir") or None  # false is what is done anyway
    for key in (*now, *before):
        if now.get(key) != before.get(key) and not _is_below(key, with_effect):
            raise ValueError(refused_setting(key, now.get(key)))


def refused_setting(key: str, value: object) -> str:
    """Return what to say of a setting of Hydra's without effect."""
    word = "null" if value is None else str(value).lower() if value is True else str(value)
    given = f"{key}={word}" if len(word) < _LONG else key
    instead = next((text for k, text in _INSTEAD.items() if _is_below(key, (k,))), "leave it out")
    return f"{given} has no effect here; {instead}"


def _settings(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _settings(item, f"{name}.{key}")
    else:
        yield name, value
