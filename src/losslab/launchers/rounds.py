"""Hand runs to a launcher, round by round, and see how they ended."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig
from rich.console import Console

from losslab.experiment import Job, RunIdentity, make_room
from losslab.experiment.make import make
from losslab.launchers.base import Launcher
from losslab.launchers.progress import SweepProgress
from losslab.recording import FINISHED, RunDirectory


@dataclass(frozen=True)
class Failed:
    """A run that did not end.

    Attributes:
        directory: Its folder; the log in it has the traceback.
        reason: In one line.
    """

    directory: RunDirectory
    reason: str


def make_launcher(config: DictConfig) -> Launcher:
    """Return the launcher that a configuration chose; nothing is started yet.

    Raises:
        ValueError: A key is wrong, or what it needs is not installed.
    """
    launcher: Launcher = make(config.launcher, "launcher", kind=Launcher)
    return launcher


def on_device_of(launcher: Launcher, config: DictConfig) -> DictConfig:
    """Return a run's configuration for the machines of the launcher.

    What ``trainer.device=auto`` stands for is part of what a run is, so it has to be known here.

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
    """Return whether a run is to be done: it is not finished, or ``force=true``."""
    return bool(config.force) or identity.directory.status not in FINISHED


def do_round(launcher: Launcher, jobs: Sequence[Job], *, console: Console, title: str) -> None:
    """Do jobs; how each ended is in its run directory.

    Raises:
        ValueError: There cannot be written.
        LauncherError: Workers ended before their runs did.
    """
    if not jobs:
        return
    make_room(job.identity for job in jobs)
    directories = [job.identity.directory for job in jobs]
    with SweepProgress(directories, console=console, title=title):
        launcher.launch(jobs)


def outcome(identities: Iterable[RunIdentity]) -> list[Failed]:
    """Return the runs that are not finished, with the reason."""
    failed = []
    for directory in (identity.directory for identity in identities):
        status = directory.status
        if status not in FINISHED:
            reason = directory.error or {
                "running": "stopped before its end, or another process is at it",
                None: "did not start",
            }.get(status, "failed")
            failed.append(Failed(directory, reason))
    return failed
