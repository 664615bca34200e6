"""``losslab train``: one run or a sweep from the words of a command."""

import argparse
import sys
from collections.abc import Collection, Sequence

from rich.text import Text

from losslab.data.cache import only_reading
from losslab.experiment import Composer, choices_of, command_for, perform, plan_run, prepare, quoted
from losslab.experiment.compose import without_hydra
from losslab.experiment.make import make
from losslab.files import read_json
from losslab.launchers import make_launcher
from losslab.recording import Run, make_room
from losslab.sweepers.base import Sweep, Sweeper, axes, reject_sweeper_overrides
from losslab.text import Console


def train(options: argparse.Namespace) -> list[Run]:
    """Run one configuration, or with ``-m`` a sweep; return the runs, finished or not."""
    overrides = [quoted(text) for text in options.overrides]
    console = Console()
    with Composer(options.config_dir) as composer:
        if options.multirun:
            return plan_sweep(composer, overrides, console=console).run()
        run = train_one(composer, overrides, console=console)
    if run.finished:
        summary = read_json(run.files.summary)
        tags = ("test/accuracy", "test/nll", "test/brier", "test/ece")
        numbers = ", ".join(f"{tag[5:]} {summary[tag]:.4f}" for tag in tags if tag in summary)
        console.print(f"{run.status}: test {numbers}", highlight=False)
        console.print(Text(str(run.path)), soft_wrap=True)
    return [run]


def forecast(options: argparse.Namespace) -> list[str]:
    """Return lines on what :func:`train` would do, without writing anything."""
    overrides = [quoted(text) for text in options.overrides]
    with Composer(options.config_dir) as composer, only_reading() as absent:
        if not options.multirun:
            reject_sweeper_overrides(composer.parse(overrides))
            composer.compose(overrides)  # rejects lists
        console = Console(quiet=not sys.stdout.isatty())
        sweep = plan_sweep(composer, overrides, console=console)
        return [*sweep.sweeper.forecast(sweep).lines(sweep.launcher), *not_checked(absent)]


def not_checked(absent: Collection[str]) -> list[str]:
    """Return a line on data that a forecast could not check, if any."""
    if not absent:
        return []
    names = ", ".join(sorted(absent))
    return [f"{names}: not downloaded yet; checks that need the data run after the download"]


def train_one(composer: Composer, overrides: Sequence[str], *, console: Console) -> Run:
    """Do one run unless it is finished; its directory has the result."""
    reject_sweeper_overrides(composer.parse(overrides))
    config = composer.compose(overrides)
    command = command_for(overrides, flags=composer.flags)
    run = plan_run(without_hydra(config), choices_of(config.hydra), command)
    prepare(run)
    if run.pending:
        make_room([run])
        perform([run], show=not console.quiet)
    else:
        console.print("this run is already finished; force=true trains it again", soft_wrap=True)
    return run


def plan_sweep(composer: Composer, words: Sequence[str], *, console: Console) -> Sweep:
    """Return the sweep that the words of a command describe, without running it."""
    overrides = composer.parse(words)
    # Intervals have no first value, but launcher and sweeper do not depend on them.
    listed = [o for o in overrides if not o.is_sweep_override() or o.is_discrete_sweep()]
    config = composer.compose([values[0] for values in axes(listed)])
    return Sweep(
        composer=composer,
        overrides=overrides,
        sweeper=make(config.sweeper, "sweeper", kind=Sweeper),
        launcher=make_launcher(config),
        console=console,
    )
