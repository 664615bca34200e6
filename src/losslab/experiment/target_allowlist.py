"""The allowlist for ``_target_``, so that an untrusted configuration cannot run arbitrary code.

Without it, one line could call any installed function, such as ``os.system``.
"""

import importlib.machinery
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

VARIABLE = "LOSSLAB_ALLOW"
"""Environment variable with further packages or modules, separated by commas."""

FOLDERS = "LOSSLAB_CODE"
"""Environment variable with folders whose modules are allowed; workers inherit it."""

ALLOWED = (
    *("losslab.data", "losslab.models", "losslab.losses", "losslab.diagnostics"),
    *("losslab.training.settings", "losslab.training.schedules", "losslab.training.optimizers"),
    "losslab.study",
    *("losslab.launchers.local", "losslab.launchers.ray_cluster", "losslab.launchers.slurm"),
    *("losslab.sweepers.base", "losslab.sweepers.search"),
    *("torch.nn", "torch.optim"),
)
"""Packages and modules in which a target may be defined."""

# Exceptions: these can write files anywhere.
_NOT_ALLOWED = ("losslab.data.cache", "losslab.data.download")
# Packages that re-export the contents of their modules.
_SHORT = ("losslab.training.", "losslab.launchers.", "losslab.sweepers.")
# The base classes allowed from torch. Its other functions are internal, and some call their
# arguments.
_OF_TORCH = {
    "torch.nn.modules.module.Module",
    "torch.optim.optimizer.Optimizer",
    "torch.optim.lr_scheduler.LRScheduler",
}
_FUNCTIONS_OF_TORCH = ("torch.nn.functional", "torch.nn.init")


def allow_modules_of(folders: Iterable[Path]) -> None:
    """Allow the modules in trusted folders and make them importable, also in workers."""
    trusted = [*_listed(FOLDERS, os.pathsep), *map(str, folders)]
    os.environ[FOLDERS] = os.pathsep.join(dict.fromkeys(trusted))


def check_name(path: str, name: str) -> None:
    """Check a ``_target_`` before importing it; ``name`` is the key of its node.

    Allowed are :data:`ALLOWED`, the user's modules, and the modules in :data:`VARIABLE`.
    """
    allowed = _is_below(path, (*ALLOWED, *_more())) or path.startswith(_SHORT)
    module = path.partition(".")[0]
    # A missing module fails later, at its import.
    if not allowed and not is_custom_module(module) and _find(module) is not None:
        raise ValueError(_refusal(path, name))


def check_definition(target: Any, path: str, name: str) -> None:
    """Check where a target is defined: ``my_loss.os.system`` only starts in a custom module."""
    module = getattr(target, "__module__", None)
    module = module if isinstance(module, str) else type(target).__module__
    allowed = _is_below(module, ALLOWED) and not _is_below(module, _NOT_ALLOWED)
    if module.startswith("torch.") and module not in _FUNCTIONS_OF_TORCH:
        bases = target.__mro__ if isinstance(target, type) else ()
        allowed &= any(f"{base.__module__}.{base.__qualname__}" in _OF_TORCH for base in bases)
    if not (allowed or _is_below(module, _more()) or is_custom_module(module.partition(".")[0])):
        raise ValueError(_refusal(path, name))


def is_custom_module(module: str) -> bool:
    """Return whether a top-level module lies directly in one of the user's folders."""
    folders = _listed(FOLDERS, os.pathsep)
    # Before the search below.
    sys.path.extend(folder for folder in folders if folder not in sys.path)
    spec = _find(module)
    if spec is None or module in sys.stdlib_module_names:
        return False
    paths = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
    names = (f"{module}.py", f"{module}/__init__.py", module)
    custom = [folder / name for folder in (Path.cwd(), *map(Path, folders)) for name in names]
    return bool(paths) and all(path is not None and Path(path) in custom for path in paths)


def _find(module: str) -> importlib.machinery.ModuleSpec | None:
    if not module.isidentifier():
        return None
    if module in sys.builtin_module_names:
        return importlib.machinery.BuiltinImporter.find_spec(module)
    folders = [entry or str(Path.cwd()) for entry in sys.path]
    return importlib.machinery.PathFinder.find_spec(module, folders)


def targets(values: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield every ``_target_`` in nested mappings and lists, with the dotted key of its node."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            if key == "_target_" and isinstance(value, str):
                yield value, name
            else:
                yield from targets(value, f"{name}.{key}")
    elif isinstance(values, list | tuple):
        for index, value in enumerate(values):
            yield from targets(value, f"{name}[{index}]")


def _more() -> tuple[str, ...]:
    return tuple(text.rstrip(".") for text in _listed(VARIABLE, ",") if text.rstrip("."))


def _listed(variable: str, separator: str) -> list[str]:
    return list(filter(None, map(str.strip, os.environ.get(variable, "").split(separator))))


def _is_below(path: str, packages: tuple[str, ...]) -> bool:
    return any(path == package or path.startswith(f"{package}.") for package in packages)


def _refusal(path: str, name: str) -> str:
    return (
        f"{name}._target_={path} is not on the allowlist: "
        f"losslab's own parts, torch.nn, torch.optim, and modules in the working folder or in that "
        f"of --config-dir; if you trust it, set {VARIABLE}={path.rpartition('.')[0] or path}"
    )
