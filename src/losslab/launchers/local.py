"""Run on this machine: in this process, or in one worker process per core."""

import os
import signal
import warnings
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import final

import torch

from losslab.experiment import perform
from losslab.launchers.base import Launcher, LauncherError, variables
from losslab.recording import Run
from losslab.stopping import end_with_parent
from losslab.training.engines import STACK_MEMORY

# After a command was stopped, joblib's resource tracker removes temporary folders with a warning.
_TRACKER = "ignore:resource_tracker:UserWarning"
# joblib replaces a worker that has grown by 300 MB between two runs, as another data set makes it.
_REPLACED = "A worker stopped while some jobs were given to the executor"


@final
class Serial(Launcher):
    """One after another, in this process."""

    at_once = 1

    def perform(self, work: Sequence[Sequence[Run]]) -> Sequence[Sequence[str | None]]:
        """Do one item after another."""
        return list(map(perform, work))


@final
@dataclass(frozen=True)
class Joblib(Launcher):
    """One worker process per core."""

    workers: int = -1  # how many; -1 for one per core

    def __post_init__(self) -> None:
        if self.workers < 1 and self.workers != -1:
            rule = "give a number of processes from 1 up, or -1 for one per core"
            raise ValueError(f"launcher.workers={self.workers}; {rule}")

    @property
    def at_once(self) -> int:
        """One for each worker."""
        import joblib

        return int(joblib.cpu_count()) if self.workers == -1 else self.workers

    def _workers(self, work: Sequence[Sequence[Run]]) -> int:
        """Return the number of processes; on a GPU, as many as there is memory for their stacks.

        While one process writes records, another can train.
        """
        if all(len(runs) == 1 for runs in work) or not torch.cuda.is_available():
            return self.workers
        memory = torch.cuda.get_device_properties(0).total_memory
        return max(1, min(self.at_once, memory // STACK_MEMORY))

    def perform(self, work: Sequence[Sequence[Run]]) -> Sequence[Sequence[str | None]]:
        """Do all items; the worker processes are kept for the next call."""
        import joblib

        filters = os.environ.get("PYTHONWARNINGS", "")
        if _TRACKER not in filters:
            os.environ["PYTHONWARNINGS"] = f"{filters},{_TRACKER}".removeprefix(",")
        try:
            # No batches: a run takes much longer than dispatching it.
            with warnings.catch_warnings(), joblib.Parallel(
                n_jobs=self._workers(work), backend="loky", batch_size=1, return_as="generator",
                # Workers outlive a sweep; a new folder or new variables get new ones.
                initializer=_begin, initargs=(str(Path.cwd()), variables()),
            ) as parallel:  # fmt: skip
                warnings.filterwarnings("ignore", _REPLACED, UserWarning)
                # Workers started with SIGINT blocked leave Ctrl-C to this process, which ends them.
                resource_tracker.ensure_running()  # first, as its start unblocks the signal
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
                try:
                    results = parallel(joblib.delayed(perform)(runs) for runs in work)
                finally:
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
                return list(results)
        except BrokenProcessPool as error:
            raise LauncherError(
                "a worker process was killed, as happens when memory runs out; finished runs are "
                "kept, and the same command resumes (launcher.workers=1 for fewer workers)"
            ) from error


def _begin(folder: str, environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    end_with_parent()
