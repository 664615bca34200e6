"""Hydra's flags that tell something and run nothing: help, ``--cfg``, ``--info``, completion.

Imports no torch, since help, ``--cfg`` and TAB completion must be quick.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from losslab.experiment.compose import CONFIG_FOLDER, Composer
from losslab.experiment.overrides import quoted

# Flags with which Hydra tells something and runs nothing.
_TELLING = ("help", "hydra_help", "cfg", "info", "shell_completion")


def tells(given: argparse.Namespace) -> bool:
    """Return whether the flags ask Hydra to tell something and to run nothing."""
    return any(getattr(given, flag) for flag in _TELLING)


def tell(given: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Let Hydra tell what the flags ask for.

    Args:
        given: ``arguments``, read by :func:`flags`.
        arguments: The same as words, flags first.

    Raises:
        ValueError: Something about them is wrong.
    """
    check_flags(given)
    words = [quoted(text) if text in given.overrides else text for text in arguments]
    with Composer(given.config_dir) as composer:  # it allows what lies in --config-dir, too
        if given.cfg or given.info or given.help:
            composer.compose([quoted(text) for text in given.overrides])
    _run_hydra(words)


def check_flags(given: argparse.Namespace) -> None:
    """Raise ``ValueError`` for a flag of Hydra's that does not go with losslab."""
    if given.resolve and not (given.cfg or given.help):
        raise ValueError("--resolve goes with --cfg or --help; add one of them")
    if given.config_name not in (None, "config"):
        raise ValueError(
            f"--config-name={given.config_name}; allowed is config: choose within it with "
            "GROUP=CHOICE, and see `losslab list`"
        )
    if given.config_path is not None:
        raise ValueError(
            f"--config-path={given.config_path} would hide every choice; add yours with "
            "--config-dir FOLDER"
        )
    if given.experimental_rerun is not None:
        raise ValueError(
            f"--experimental-rerun={given.experimental_rerun}; run the command that is in the "
            "run's manifest.json, with force=true"
        )


def _run_hydra(arguments: Sequence[str]) -> None:
    # hydra.main reads the command line itself.
    sys.argv = ["losslab", *arguments]
    wrap = hydra.main(config_path=str(CONFIG_FOLDER), config_name="config", version_base="1.3")
    run = wrap(lambda _: None)
    before = os.environ.get("HYDRA_FULL_ERROR")
    # Otherwise Hydra itself prints errors, over many lines, and exits.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        run()
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(str(error).splitlines()[0]) from error
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
