"""Dispatch runs to a launcher, and report those that failed."""

import shutil
import time
from collections.abc import Iterable, Sequence

from omegaconf import DictConfig
from rich.console import Console
from rich.text import Text

from losslab.experiment import IN_USE
from losslab.experiment.make import make
from losslab.launchers.base import Failed, Launcher, LauncherError
from losslab.launchers.progress import SECONDS_BETWEEN_POLLS, SweepProgress
from losslab.recording import Run, make_room

_NO_SPACE = 2**16  # bytes


def make_launcher(config: DictConfig) -> Launcher:
    """Return the chosen launcher, not yet started; ``ValueError`` if it cannot work."""
    launcher: Launcher = make(config.launcher, "launcher", kind=Launcher)
    return launcher


def dispatch(launcher: Launcher, runs: Sequence[Run], *, console: Console, title: str) -> None:
    """Train runs; their directories have the results.

    Runs that another process holds are awaited, after all others, and taken over if it does not
    finish them. ``ValueError`` if the output folder is not writable.
    """
    if not runs:
        return
    make_room(runs)
    ready, elsewhere, announced = list(runs), list[Run](), False
    with SweepProgress(runs, console=console, title=title):
        while ready or elsewhere:
            try:
                results = launcher.launch(ready) if ready else ()
            except LauncherError as error:
                error.failed = outcome(ready)
                raise
            elsewhere += [r for r, result in zip(ready, results, strict=True) if result == IN_USE]
            if elsewhere and not announced:
                announced = True
                text = f"{title}: another process is running {len(elsewhere)} of them; waiting"
                console.print(Text(text))
            held = {run: run.held for run in elsewhere}
            elsewhere = [run for run in held if held[run]]
            # A run that failed there would also fail here.
            ready = [r for r in held if not (held[r] or r.finished or r.status == "failed")]
            if elsewhere and not ready:
                time.sleep(SECONDS_BETWEEN_POLLS)


def outcome(runs: Iterable[Run]) -> list[Failed]:
    """Return the runs that are not finished, with the reasons."""
    return [Failed(run, _reason(run)) for run in runs if not run.finished]


def _reason(run: Run) -> str:
    if run.reason and run.status != "damaged":  # which may come from a full disk
        return run.reason
    if run.held:
        return "another process is running it"
    usual = {"running": "stopped before its end", None: "did not start"}
    reason = run.reason or usual.get(run.status, "failed")
    folder = next(f for f in (run.path, *run.path.parents) if f.is_dir())
    return f"{reason}; its disk is full" if shutil.disk_usage(folder).free < _NO_SPACE else reason
