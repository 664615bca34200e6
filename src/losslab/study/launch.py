"""Hand runs to the launcher that Hydra was told to use, and see how they ended."""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from rich.console import Console

from losslab.experiment import Composer, job
from losslab.recording import FINISHED, RunDirectory
from losslab.study.progress import SweepProgress


class LauncherError(RuntimeError):
    """A launcher ended before its runs did."""


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
def workers_alive() -> Iterator[None]:
    """Raise :class:`LauncherError` where a worker process dies meanwhile."""
    try:
        yield
    except BrokenProcessPool as error:
        raise LauncherError(
            "a worker process was killed, as happens where memory runs out; finished runs are "
            "kept, and the same command goes on from here (hydra.launcher.n_jobs=1 for fewer "
            "workers)"
        ) from error


def launch(
    composer: Composer,
    jobs: Sequence[tuple[list[str], RunDirectory]],
    *,
    overrides: Sequence[str],
    console: Console,
    title: str,
) -> None:
    """Run jobs with the launcher of ``overrides``; each is a list of overrides and its folder."""
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
    with SweepProgress(directories, console=console, title=title), workers_alive():
        launcher.launch([texts for texts, _ in jobs], initial_job_idx=0)


def outcome(directories: Sequence[RunDirectory]) -> list[Failed]:
    """Return the runs that are not finished, with the reason."""
    failed = []
    for directory in directories:
        status = directory.status
        if status not in FINISHED:
            reason = directory.error or {
                "running": "stopped before its end, or another process is at it",
                None: "did not start",
            }.get(status, "failed")
            failed.append(Failed(directory, reason))
    return failed
