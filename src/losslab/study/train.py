"""``losslab train``: plain Hydra, with every job checked before the first one runs."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from losslab.experiment import CONFIG_FOLDER, Composer, choices_of, job, prepare, quoted
from losslab.experiment.compose import without_hydra
from losslab.recording import FINISHED, RunDirectory
from losslab.study.launch import Failed, launch, make_folders, outcome, workers_alive

# Flags with which Hydra tells something and runs nothing.
_TELLING = ("help", "hydra_help", "cfg", "info", "shell_completion")


def flags() -> argparse.ArgumentParser:
    """Return what reads Hydra's flags."""
    return get_args_parser()


def train(given: argparse.Namespace, arguments: list[str]) -> list[Failed]:
    """Run one configuration, or with ``-m`` a sweep; return the runs that failed.

    Args:
        given: ``arguments``, read by :func:`flags`.
        arguments: The same as words, flags first.

    Raises:
        ValueError: Something about one of the runs is wrong; nothing is written then.
    """
    _check_flags(given)
    arguments = [quoted(text) if text in given.overrides else text for text in arguments]
    given.overrides = [quoted(text) for text in given.overrides]
    console = Console()
    with Composer(given.config_dir) as composer:
        if any(getattr(given, flag) for flag in _TELLING):
            if given.cfg or given.info:
                composer.compose(given.overrides)  # what is wrong, in one line
            runs = None
        else:
            runs = _runs(composer, given)
        pending = {run.directory.path: run for run in runs or () if run.pending}
        if pending and given.multirun:
            jobs = [(run.overrides, run.directory) for run in pending.values()]
            common = [text for text in given.overrides if not _is_sweep(composer, text)]
            launch(composer, jobs, overrides=common, console=console, title="sweep")
    if not runs:
        with workers_alive([]):
            _hydra(arguments)
        return []
    directories = list({run.directory.path: run.directory for run in runs}.values())
    if not pending:
        every = f"all {len(runs)} runs are" if given.multirun else "this run is"
        console.print(f"{every} finished already; force=true trains again", soft_wrap=True)
    elif not given.multirun:
        make_folders(directories)
        _hydra(arguments)
    failed = outcome(directories)
    if given.multirun:
        for folder in sorted({directory.path.parents[1] for directory in directories}):
            console.print(f"Next: losslab report {folder}", soft_wrap=True, highlight=False)
    elif not failed:
        _tell(directories[0], console)
    return failed


def _check_flags(given: argparse.Namespace) -> None:
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


def _hydra(arguments: Sequence[str]) -> None:
    # hydra.main reads the command line itself.
    sys.argv = ["losslab", *arguments]
    run = hydra.main(config_path=str(CONFIG_FOLDER), config_name="config", version_base="1.3")(job)
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


class _Run(NamedTuple):
    overrides: list[str]
    directory: RunDirectory
    pending: bool


def _runs(composer: Composer, given: argparse.Namespace) -> list[_Run]:
    parsed = composer.parse(given.overrides)
    if not given.multirun:
        return [_prepare(composer, given.overrides)]
    master = composer.compose(given.overrides, run_mode=RunMode.MULTIRUN)
    _check_launcher(master)
    if any(override.key_or_group == "hydra/sweeper" for override in parsed):
        return []  # only that sweeper knows its runs
    params = master.hydra.sweeper.get("params") or {}
    parsed = [*composer.parse([f"{key}={value}" for key, value in params.items()]), *parsed]
    return [_prepare(composer, overrides) for overrides in _expand(parsed)]


def _is_sweep(composer: Composer, text: str) -> bool:
    return composer.parse([text])[0].is_sweep_override()


def _check_launcher(config: DictConfig) -> None:
    if config.hydra.launcher.get("n_jobs") == 0:
        raise ValueError("hydra.launcher.n_jobs=0; give a number of workers, or -1 for all cores")


def _expand(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the overrides of every job, as Hydra's basic sweeper makes them."""
    axes = []
    for override in overrides:
        if not override.is_sweep_override():
            axes.append([override.input_line or ""])
            continue
        key, values = override.get_key_element(), []
        if override.is_discrete_sweep():
            values = [f"{key}={value}" for value in override.sweep_string_iterator()]
        if not values:
            raise ValueError(
                f"{override.input_line}: a grid needs values to go through; give a list a,b,c, "
                "choice(...) or range(...)"
            )
        axes.append(values)
    return [list(point) for point in product(*axes)]


def _prepare(composer: Composer, overrides: list[str]) -> _Run:
    config = composer.compose(overrides)
    if config.hydra.job.chdir:
        raise ValueError("hydra.job.chdir=true would move output_dir; give output_dir=... instead")
    directory = prepare(without_hydra(config), choices_of(config.hydra)).directory
    return _Run(overrides, directory, pending=config.force or directory.status not in FINISHED)


def _tell(directory: RunDirectory, console: Console) -> None:
    summary = json.loads(directory.summary.read_text())
    numbers = ", ".join(
        f"{tag.split('/')[1]} {summary[tag]:.4f}"
        for tag in ("test/accuracy", "test/nll", "test/brier", "test/ece")
        if tag in summary
    )
    console.print(f"{directory.status}: test {numbers}", highlight=False)
    console.print(str(directory.path), soft_wrap=True, highlight=False)
