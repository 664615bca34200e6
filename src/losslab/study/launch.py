"""Hand runs to the launcher that Hydra was told to use, and see how they ended."""

import errno
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from rich.console import Console

from losslab.experiment import IN_USE, Composer, job
from losslab.recording import FINISHED, RunDirectory
from losslab.study.progress import SECONDS_BETWEEN_LOOKS, SweepProgress

Job = tuple[list[str], RunDirectory]
"""The overrides of a run, and its folder."""

_NO_SPACE = 2**16


class LauncherError(RuntimeError):
    """A launcher ended before its runs did.

    Attributes:
        failed: The runs that are not finished.
    """

    failed: Sequence["Failed"] = ()


@dataclass(frozen=True)
class Failed:
    """A run that did not end.

    Attributes:
        directory: Its folder; the log in it has the traceback.
        reason: In one line.
    """

    directory: RunDirectory
    reason: str


def make_folders(directories: Iterable[RunDirectory]) -> None:
    """Make the folders below which runs will be, to find out now whether that is possible.

    Raises:
        ValueError: It is not.
    """
    for folder in {directory.path.parents[1] for directory in directories}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise ValueError(
                f"cannot write into {folder} ({error.strerror}); give another output_dir=..."
            ) from error


@contextmanager
def workers_alive(directories: Sequence[RunDirectory]) -> Iterator[None]:
    """Raise :class:`LauncherError` where a worker process dies meanwhile."""
    try:
        yield
    except BrokenProcessPool as error:
        dead = LauncherError(
            "a worker process was killed, as happens where memory runs out; finished runs are "
            "kept, and the same command goes on from here (hydra.launcher.n_jobs=1 for fewer "
            "workers)"
        )
        dead.failed = outcome(directories)
        raise dead from error


def launch(
    composer: Composer,
    jobs: Sequence[Job],
    *,
    overrides: Sequence[str],
    console: Console,
    title: str,
) -> None:
    """Run jobs with the launcher of ``overrides``; each is a list of overrides and its folder.

    A run that another process is at is left to it. When all else is done, those runs are waited
    for, and what a process did not finish before it ended is taken over.

    Raises:
        LauncherError: A worker process died.
    """
    if not jobs:
        return
    make_folders(directory for _, directory in jobs)
    from hydra._internal.callbacks import Callbacks  # the only place that makes an empty one

    master = composer.compose(overrides, run_mode=RunMode.MULTIRUN)
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=HydraContext(config_loader=composer.loader, callbacks=Callbacks()),
        task_function=job,
        config=master,
    )
    directories = [directory for _, directory in jobs]
    at_once = master.hydra.sweeper.get("max_batch_size") or len(jobs)
    launched, told, elsewhere, ready = 0, False, list[Job](), list(jobs)
    with (
        SweepProgress(directories, console=console, title=title),
        workers_alive(directories),
    ):
        while ready or elsewhere:
            while ready:
                batch, ready = ready[:at_once], ready[at_once:]
                elsewhere += _launch(launcher, batch, launched)
                launched += len(batch)
            if elsewhere and not told:
                told = True
                console.print(f"{title}: another process is at {len(elsewhere)} runs; waiting")
            free = [wanted for wanted in elsewhere if not wanted[1].held]
            elsewhere = [wanted for wanted in elsewhere if wanted not in free]
            # One that failed there would fail here.
            ready = [wanted for wanted in free if wanted[1].status not in (*FINISHED, "failed")]
            if elsewhere and not ready:
                time.sleep(SECONDS_BETWEEN_LOOKS)


def _launch(launcher: Launcher, jobs: Sequence[Job], first: int) -> list[Job]:
    """Run jobs; return those that another process is at."""
    returns = launcher.launch([list(texts) for texts, _ in jobs], initial_job_idx=first)
    return [
        wanted
        for wanted, returned in zip(jobs, returns, strict=True)
        if returned.return_value == IN_USE
    ]


def outcome(directories: Sequence[RunDirectory]) -> list[Failed]:
    """Return the runs that are not finished, with the reason."""
    failed = []
    for directory in directories:
        status = directory.status
        if status not in FINISHED:
            reason = directory.error or _reason(directory, status)
            failed.append(Failed(directory, reason))
    return failed


def _reason(directory: RunDirectory, status: str | None) -> str:
    if directory.held:
        return "another process is at it"
    reason = {"running": "stopped before its end", None: "did not start"}.get(status, "failed")
    folder = next(f for f in (directory.path, *directory.path.parents) if f.is_dir())
    return f"{reason}; its disk is full" if shutil.disk_usage(folder).free < _NO_SPACE else reason
