"""What a configuration may name as a ``_target_``, so that a file of somebody else runs no code.

A configuration is text that people pass on. Without this list, one line in it could call any
function of any installed package, ``os.system`` among them.
"""

import functools
import importlib.machinery
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import _locate  # as instantiate does; the public one logs errors
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.plugin import Plugin
from omegaconf import DictConfig, OmegaConf

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
# Of torch: what holds weights, updates them or schedules that. Its other functions are parts of
# torch itself, and some call whatever they are given.
_OF_TORCH = {
    "torch.nn.modules.module.Module",
    "torch.optim.optimizer.Optimizer",
    "torch.optim.lr_scheduler.LRScheduler",
}
_FUNCTIONS_OF_TORCH = ("torch.nn.functional", "torch.nn.init")
_CALLBACKS = {"hydra.experimental.callbacks.LogJobReturnCallback"}
_LOGGING = ("none", "disabled", "stdout")
# Where Hydra would write. losslab's own folders follow from output_dir and name alone.
_FOLDERS = {
    "hydra.run.dir": "${output_dir}/${name}",
    "hydra.sweep.dir": "${output_dir}/${name}",
    "hydra.sweep.subdir": ".",
    "hydra.output_subdir": None,
}


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
    if module.startswith("torch.") and module not in _FUNCTIONS_OF_TORCH:
        bases = target.__mro__ if isinstance(target, type) else ()
        allowed &= not _OF_TORCH.isdisjoint(_full_name(base) for base in bases)
    if not (allowed or _is_below(module, _more()) or is_ones_own(module.partition(".")[0])):
        raise ValueError(_refusal(path, name))


class CheckedLoader(ConfigLoaderImpl):
    """Checks Hydra's own node wherever a configuration is composed.

    That is by ``Composer`` and, for what only a plugin's sweeper or launcher composes, by Hydra
    itself.
    """

    def load_configuration(
        self, config_name: str | None, *arguments: Any, **keywords: Any
    ) -> DictConfig:
        """Return the configuration; raise ``ValueError`` as :func:`_check_hydra` does."""
        config = super().load_configuration(config_name, *arguments, **keywords)
        if config_name is not None:  # else it is Hydra's help, of no configuration
            _check_hydra(config.hydra)
            _check_folders(config.hydra)
        return config

    def _process_config_searchpath(
        self, config_name: str | None, parsed_overrides: list[Override], repo: Any
    ) -> None:
        # "pkg://" in it imports whatever it names. conf/config.yaml sets none, and Hydra reads
        # no other file's.
        del config_name, repo
        for override in parsed_overrides:
            if override.key_or_group == "hydra.searchpath":
                raise ValueError(f"{override.input_line}; give --config-dir FOLDER instead")


def _check_hydra(hydra: DictConfig) -> None:
    """Check what Hydra itself would make, set and write.

    It does so where ``hydra/launcher`` or ``hydra/sweeper`` is typed, whichever file says what.

    Args:
        hydra: Hydra's own node.

    Raises:
        ValueError: A launcher or sweeper that is not installed, a callback that is neither
            Hydra's nor one's own, logging to files, environment variables, or other folders.
    """
    plugins = {_full_name(plugin) for plugin in Plugins.instance().discover()}
    for key in ("launcher", "sweeper", "callbacks"):
        node = hydra.get(key)
        values = OmegaConf.to_container(node, resolve=True) if node else None
        for path, where in targets(values, f"hydra.{key}"):
            if path not in plugins | _CALLBACKS:
                _check_plugin(path, where)
    for key in ("job_logging", "hydra_logging"):
        found = OmegaConf.to_container(hydra[key], resolve=False)
        if found not in _known_logging(key):
            raise ValueError(
                f"hydra.{key} may write files and import modules; allowed are "
                f"{', '.join(f'hydra/{key}={name}' for name in _LOGGING)}, as they come with "
                "Hydra: losslab writes each run's log itself"
            )
    for variable in hydra.job.env_set:
        raise ValueError(
            f"hydra.job.env_set.{variable} changes what other programs do; set it in your shell"
        )


def _check_folders(hydra: DictConfig) -> None:
    """Check that Hydra writes nowhere but in losslab's own folder of runs.

    Raises:
        ValueError: A folder was set.
    """
    values = {"hydra": OmegaConf.to_container(hydra, resolve=False)}
    for key, expected in _FOLDERS.items():
        found: Any = values
        for part in key.split("."):
            found = found[part]
        if found != expected:
            raise ValueError(
                f"{key}={found}; leave it, and give output_dir=... or name=... instead"
            )


def _check_plugin(path: str, where: str) -> None:
    check_name(path, where)
    try:
        target = _locate(path)
    except Exception as error:  # whatever importing a module of one's own raises
        raise ValueError(f"{where}._target_={path} cannot be imported") from error
    check_definition(target, path, where)
    if isinstance(target, type) and issubclass(target, Plugin):
        # Hydra knows those that are installed; one in the working folder only if it is named.
        Plugins.instance().register(target)


@functools.cache
def _known_logging(key: str) -> tuple[Any, ...]:
    folder = resources.files("hydra.conf") / "hydra" / key
    files = [folder / f"{name}.yaml" for name in _LOGGING]
    return tuple(yaml.safe_load(file.read_text("utf-8")) for file in files if file.is_file())


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


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


def targets(values: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield what is named anywhere in keys, values and lists, with the dotted key of its node."""
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
