"""Hand runs to a launcher, round by round, and see how they ended."""

import shutil
import time
from collections.abc import Iterable, Sequence

from omegaconf import DictConfig
from rich.console import Console
from rich.text import Text

from losslab.experiment import IN_USE, Job, RunIdentity, make_room
from losslab.experiment.make import make
from losslab.launchers.base import Failed, Launcher, LauncherError
from losslab.launchers.progress import SECONDS_BETWEEN_LOOKS, SweepProgress
from losslab.recording import FINISHED, RunDirectory

_NO_SPACE = 2**16  # bytes


def make_launcher(config: DictConfig) -> Launcher:
    """Return the launcher that a configuration chose; nothing is started yet.

    Raises:
        ValueError: A key is wrong, or what it needs is not installed.
    """
    launcher: Launcher = make(config.launcher, "launcher", kind=Launcher)
    return launcher


def on_device_of(launcher: Launcher, config: DictConfig) -> DictConfig:
    """Return a run's configuration for the machines of the launcher.

    What ``trainer.device=auto`` means is part of a run's identity, so it must be known here.

    Raises:
        ValueError: The run needs a GPU, and the launcher gives it none.
    """
    wanted = str(config.trainer.device)
    if launcher.device is None or wanted == launcher.device:
        return config
    if launcher.device == "cpu" and wanted.startswith("cuda"):
        raise ValueError(f"trainer.device={wanted}: the launcher gives no GPU; add launcher.gpus=1")
    if wanted != "auto":
        return config
    there = config.copy()
    there.trainer.device = launcher.device
    return there


def is_pending(identity: RunIdentity, config: DictConfig) -> bool:
    """Return whether a run must be done: it is not finished, or ``force=true``."""
    return bool(config.force) or identity.directory.status not in FINISHED


def do_round(launcher: Launcher, jobs: Sequence[Job], *, console: Console, title: str) -> None:
    """Do jobs; how each ended is in its run directory.

    A run that another process has is left to it. When all others are done, this waits for those
    runs, and takes over what a process did not finish before it ended.

    Raises:
        ValueError: The output folder cannot be written.
        LauncherError: Workers ended before their runs did.
    """
    if not jobs:
        return
    make_room(job.identity for job in jobs)
    ready, elsewhere, told = list(jobs), list[Job](), False
    with SweepProgress([_directory(job) for job in jobs], console=console, title=title):
        while ready or elsewhere:
            if ready:
                elsewhere += _launch(launcher, ready)
            if elsewhere and not told:
                told = True
                text = f"{title}: another process is running {len(elsewhere)} of them; waiting"
                console.print(Text(text))
            ready, waited_for, elsewhere = [], elsewhere, []
            for job in waited_for:
                if _directory(job).held:
                    elsewhere.append(job)
                # One that failed there would fail here, too.
                elif _directory(job).status not in (*FINISHED, "failed"):
                    ready.append(job)
            if elsewhere and not ready:
                time.sleep(SECONDS_BETWEEN_LOOKS)


def _launch(launcher: Launcher, jobs: Sequence[Job]) -> list[Job]:
    """Do jobs; return those that another process has."""
    try:
        returned = launcher.launch(jobs)
    except LauncherError as error:
        error.failed = outcome(job.identity for job in jobs)
        raise
    return [job for job, ended in zip(jobs, returned, strict=True) if ended == IN_USE]


def _directory(job: Job) -> RunDirectory:
    return job.identity.directory


def outcome(identities: Iterable[RunIdentity]) -> list[Failed]:
    """Return the runs that are not finished, with the reason."""
    failed = []
    for directory in (identity.directory for identity in identities):
        status = directory.status
        if status not in FINISHED:
            failed.append(Failed(directory, directory.error or _reason(directory, status)))
    return failed


def _reason(directory: RunDirectory, status: str | None) -> str:
    if directory.held:
        return "another process is running it"
    reason = {"running": "stopped before its end", None: "did not start"}.get(status, "failed")
    folder = next(f for f in (directory.path, *directory.path.parents) if f.is_dir())
    return f"{reason}; its disk is full" if shutil.disk_usage(folder).free < _NO_SPACE else reason
