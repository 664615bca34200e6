"""``losslab train``: every run checked before the first one is done."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from rich.text import Text

from losslab.experiment import (
    CONFIG_FOLDER,
    Composer,
    choices_of,
    command_for,
    perform,
    plan_run,
    prepare,
    quoted,
)
from losslab.experiment.compose import without_hydra
from losslab.experiment.make import make
from losslab.files import read_json
from losslab.launchers import Failed, make_launcher, outcome
from losslab.recording import Run, make_room
from losslab.sweepers import Sweep, Sweeper, axes, only_with_m
from losslab.text import Console

# Flags with which Hydra tells something and runs nothing.
_TELLING = ("help", "hydra_help", "cfg", "info", "shell_completion")


def train(given: argparse.Namespace, arguments: list[str]) -> list[Failed]:
    """Run one configuration, or with ``-m`` a sweep; return the runs that failed.

    Args:
        given: ``arguments``, read by :func:`flags`.
        arguments: The same as words, flags first.

    Raises:
        ValueError: Something about one of the runs is wrong; nothing is written then.
        LauncherError: Workers ended before their runs did.
    """
    _check_flags(given)
    arguments = [quoted(text) if text in given.overrides else text for text in arguments]
    given.overrides = [quoted(text) for text in given.overrides]
    console = Console()
    with Composer(given.config_dir) as composer:
        if any(getattr(given, flag) for flag in _TELLING):
            if given.cfg or given.info or given.help:
                composer.compose(given.overrides)  # what is wrong, in one line
        elif given.multirun:
            return _run_sweep(_sweep(composer, given, console))
        else:
            return _one(composer, given, console)
    _tell_of_hydra(arguments)
    return []


def _one(composer: Composer, given: argparse.Namespace, console: Console) -> list[Failed]:
    only_with_m(composer.parse(given.overrides))
    config = composer.compose(given.overrides)
    command = command_for(given.overrides, flags=composer.flags)
    run = plan_run(without_hydra(config), choices_of(config.hydra), command)
    prepare(run)
    if run.pending:
        make_room([run])
        perform(run, show=True)
    else:
        console.print("this run is finished already; force=true trains again", soft_wrap=True)
    failed = outcome([run])
    if not failed:
        _tell(run, console)
    return failed


def _sweep(composer: Composer, given: argparse.Namespace, console: Console) -> Sweep:
    overrides = composer.parse(given.overrides)
    # An interval has no first value; who launches and searches does not depend on one.
    listed = [o for o in overrides if not o.is_sweep_override() or o.is_discrete_sweep()]
    config = composer.compose([values[0] for values in axes(listed)])
    return Sweep(
        composer=composer,
        overrides=overrides,
        sweeper=make(config.sweeper, "sweeper", kind=Sweeper),
        launcher=make_launcher(config),
        console=console,
    )


def _run_sweep(sweep: Sweep) -> list[Failed]:
    with sweep.launcher:
        runs = sweep.sweeper.run(sweep)
    for folder in sorted({run.root for run in runs}):
        sweep.console.print(
            Text(f"Next: losslab report {shlex.quote(str(folder))}"), soft_wrap=True
        )
    return outcome(runs)


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


def _tell_of_hydra(arguments: Sequence[str]) -> None:
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


def _tell(run: Run, console: Console) -> None:
    summary = read_json(run.files.summary)
    numbers = ", ".join(
        f"{tag.split('/')[1]} {summary[tag]:.4f}"
        for tag in ("test/accuracy", "test/nll", "test/brier", "test/ece")
        if tag in summary
    )
    console.print(f"{run.status}: test {numbers}", highlight=False)
    console.print(Text(str(run.path)), soft_wrap=True)
