"""``losslab train``: every run is checked before the first one starts."""

import argparse
import shlex
from collections.abc import Sequence

from rich.text import Text

from losslab.experiment import (
    Composer,
    choices_of,
    command_for,
    perform,
    plan_run,
    prepare,
    quoted,
)
from losslab.experiment.compose import without_hydra
from losslab.experiment.hydra_app import check_flags
from losslab.experiment.make import make
from losslab.files import read_json
from losslab.launchers import Failed, make_launcher, outcome
from losslab.recording import Run, make_room
from losslab.sweepers import Sweep, Sweeper, axes, only_with_m
from losslab.text import Console


def train(given: argparse.Namespace, arguments: list[str]) -> list[Failed]:
    """Run one configuration, or with ``-m`` a sweep; return the runs that failed.

    Args:
        given: ``arguments``, read by :func:`~losslab.experiment.hydra_app.flags`.
        arguments: The same as words, flags first.

    Raises:
        ValueError: Something about one of the runs is wrong; nothing is written then.
        LauncherError: Workers ended before their runs did.
    """
    check_flags(given)
    arguments = [quoted(text) if text in given.overrides else text for text in arguments]
    given.overrides = [quoted(text) for text in given.overrides]
    console = Console()
    with Composer(given.config_dir) as composer:
        if given.multirun:
            return _run_sweep(plan_sweep(composer, given.overrides, console=console))
        run = one(composer, given.overrides, console=console)
    failed = outcome([run])
    if not failed:
        _tell(run, console)
    return failed


def one(composer: Composer, overrides: Sequence[str], *, console: Console) -> Run:
    """Do one run unless it is finished; how it ended is in its run directory.

    Raises:
        ValueError: Something about it is wrong; nothing is written then.
    """
    only_with_m(composer.parse(overrides))
    config = composer.compose(overrides)
    command = command_for(overrides, flags=composer.flags)
    run = plan_run(without_hydra(config), choices_of(config.hydra), command)
    prepare(run)
    if run.pending:
        make_room([run])
        perform(run, show=not console.quiet)
    else:
        console.print("this run is already finished; force=true trains it again", soft_wrap=True)
    return run


def plan_sweep(composer: Composer, words: Sequence[str], *, console: Console) -> Sweep:
    """Return the sweep that the words of a command say; nothing is run.

    Raises:
        ValueError: Something about them is wrong.
    """
    overrides = composer.parse(words)
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


def _tell(run: Run, console: Console) -> None:
    summary = read_json(run.files.summary)
    numbers = ", ".join(
        f"{tag.split('/')[1]} {summary[tag]:.4f}"
        for tag in ("test/accuracy", "test/nll", "test/brier", "test/ece")
        if tag in summary
    )
    console.print(f"{run.status}: test {numbers}", highlight=False)
    console.print(Text(str(run.path)), soft_wrap=True)
