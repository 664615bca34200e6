"""The private names of Hydra that losslab needs; no public ones do the same."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import _locate, get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

__all__ = ["add_folders", "apply_overrides", "flags", "import_target"]

flags = get_args_parser
"""Return a parser of Hydra's own flags and of overrides."""

import_target = _locate
"""Return what a dotted name leads to, as ``instantiate`` does; the public one logs errors, too."""


def apply_overrides(overrides: Sequence[Override], config: DictConfig) -> None:
    """Set values in a composed configuration, as Hydra does while it composes."""
    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), config)


def add_folders(loader: ConfigLoader, folders: Iterable[tuple[str, Path]]) -> None:
    """Search more folders for choices; each comes with its provider, which Hydra's help shows."""
    assert isinstance(loader, ConfigLoaderImpl)
    search_path, schema = loader.get_search_path(), SearchPathQuery(provider="schema")
    for provider, folder in folders:
        search_path.prepend(provider, f"file://{folder}", anchor=schema)
    loader.repository.initialize_sources(search_path)
