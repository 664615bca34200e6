"""``losslab train``: plain Hydra, with every job checked before the first one runs."""

import json
import sys
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override
from rich.console import Console

from losslab.experiment import CONFIG_FOLDER, Composer, choices_of, job, prepare, quoted
from losslab.experiment.compose import without_hydra
from losslab.recording import FINISHED, RunDirectory
from losslab.study.launch import Failed, outcome
from losslab.study.progress import SweepProgress

# Flags with which Hydra tells something and runs nothing.
_TELLING = ("help", "hydra_help", "cfg", "info", "shell_completion")


def train(arguments: list[str]) -> list[Failed]:
    """Run one configuration, or with ``-m`` a sweep; return the runs that failed.

    Raises:
        ValueError: Something about one of the runs is wrong; nothing is written then.
    """
    overrides = get_args_parser().parse_args(arguments).overrides
    arguments = [quoted(text) if text in overrides else text for text in arguments]
    given = get_args_parser().parse_args(arguments)
    if any(getattr(given, flag) for flag in _TELLING):
        _hydra(arguments)
        return []
    if given.config_name not in (None, "config"):
        raise ValueError(
            f"--config-name={given.config_name}; allowed is config: choose within it with "
            "GROUP=CHOICE, and see `losslab list`"
        )
    console = Console()
    with Composer(given.config_dir) as composer:
        parsed = composer.parse(given.overrides)
        if any(override.key_or_group == "hydra/sweeper" for override in parsed):
            expanded: list[list[str]] = []  # only that sweeper knows its runs
        else:
            expanded = _expand(parsed) if given.multirun else [given.overrides]
        runs = [_prepare(composer, overrides) for overrides in expanded]
    directories = [run.directory for run in runs]
    if not given.multirun:
        _hydra(arguments)
    elif runs and not any(run.pending for run in runs):
        console.print(f"all {len(runs)} runs are finished already; force=true runs them again")
    else:
        pending = [run.directory for run in runs if run.pending]
        with SweepProgress(pending, console=console, title="sweep"):
            _hydra(arguments)
    failed = outcome(directories)
    if given.multirun:
        for folder in sorted({directory.path.parents[1] for directory in directories}):
            console.print(f"Next: losslab report {folder}", soft_wrap=True, highlight=False)
    elif not failed:
        _tell(directories[0], console)
    return failed


def _hydra(arguments: Sequence[str]) -> None:
    # hydra.main reads the command line itself.
    sys.argv = ["losslab", *arguments]
    hydra.main(config_path=str(CONFIG_FOLDER), config_name="config", version_base="1.3")(job)()


def _expand(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the overrides of every job, as Hydra's basic sweeper makes them."""
    axes = []
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            axes.append([override.input_line or ""])
        elif override.is_discrete_sweep():
            axes.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            raise ValueError(
                f"{override.input_line}: a grid needs values to go through; give a list a,b,c, "
                "choice(...) or range(...)"
            )
    return [list(point) for point in product(*axes)]


class _Run(NamedTuple):
    directory: RunDirectory
    pending: bool


def _prepare(composer: Composer, overrides: list[str]) -> _Run:
    config = composer.compose(overrides)
    directory = prepare(without_hydra(config), choices_of(config.hydra)).directory
    return _Run(directory, pending=config.force or directory.status not in FINISHED)


def _tell(directory: RunDirectory, console: Console) -> None:
    summary = json.loads(directory.summary.read_text())
    numbers = ", ".join(
        f"{tag.split('/')[1]} {summary[tag]:.4f}"
        for tag in ("test/accuracy", "test/nll", "test/brier", "test/ece")
        if tag in summary
    )
    console.print(f"{directory.status}: test {numbers}", highlight=False)
    console.print(str(directory.path), soft_wrap=True, highlight=False)
