"""Hydra's flags that only print: help, ``--cfg``, ``--info``, completion. Does not import torch."""

import argparse
import os
import sys
from collections.abc import Sequence

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from losslab.experiment.compose import CONFIG_FOLDER, STUDY_FOLDERS, Composer
from losslab.experiment.overrides import quoted

_PRINTING = ("help", "hydra_help", "cfg", "info", "shell_completion")


_REFUSED = {
    "config_path": "would hide every choice; add yours with --config-dir FOLDER",
    "config_name": "is not allowed: choose with GROUP=CHOICE, and see `losslab list`",
    "experimental_rerun": "is not allowed: run the command in the run's manifest.json, with "
    "force=true",
}


def check_flags(options: argparse.Namespace) -> None:
    """Raise ``ValueError`` for Hydra's flags that losslab does not support."""
    if options.resolve and not (options.cfg or options.help):
        raise ValueError("--resolve needs --cfg or --help; add one of them")
    for flag, why in _REFUSED.items():
        value = getattr(options, flag)
        if value is not None and (flag, value) != ("config_name", "config"):
            raise ValueError(f"--{flag.replace('_', '-')}={value} {why}")


def only_prints(options: argparse.Namespace) -> bool:
    """Return whether the flags ask Hydra only to print something."""
    return any(getattr(options, flag) for flag in _PRINTING)


def print_with_hydra(
    options: argparse.Namespace, arguments: Sequence[str], *, first: str = ""
) -> None:
    """Print ``first``, then let Hydra print what the flags ask for."""
    overrides, flags = [quoted(text) for text in options.overrides], list(arguments)
    for text in options.overrides:
        flags.remove(text)
    with Composer(options.config_dir) as composer:  # allows the modules in --config-dir
        if options.cfg or options.info or options.help:
            composer.compose(overrides)
    sys.stdout.write(first)
    # hydra.main reads the command line itself. It ignores overrides after a flag that follows
    # other overrides.
    sys.argv = ["losslab", *flags, *overrides]
    if options.cfg and STUDY_FOLDERS:  # with the choices of studies with their own code
        folders = ",".join(f"'file://{folder}'" for folder in STUDY_FOLDERS)
        sys.argv.append(f"hydra.searchpath=[{folders}]")
    wrap = hydra.main(config_path=str(CONFIG_FOLDER), config_name="config", version_base="1.3")
    before = dict(os.environ)
    # Otherwise Hydra prints errors itself, on many lines, and exits.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        wrap(lambda _: None)()
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(str(error).splitlines()[0]) from error
    finally:
        del os.environ["HYDRA_FULL_ERROR"]
        os.environ.update(before)
