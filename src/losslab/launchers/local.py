"""Run on this machine: in this process, or in one worker process per core."""

from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import final

import torch

from losslab.experiment import perform
from losslab.launchers.base import Launcher, LauncherError
from losslab.recording import Run
from losslab.training.engines import STACK_MEMORY
from losslab.workers import cores, in_workers


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

    workers: int = -1  # number of processes; -1 for one per core

    def __post_init__(self) -> None:
        if self.workers < 1 and self.workers != -1:
            rule = "give a number of processes ≥ 1, or -1 for one per core"
            raise ValueError(f"launcher.workers={self.workers}; {rule}")

    @property
    def at_once(self) -> int:
        """One for each worker."""
        return cores() if self.workers == -1 else self.workers

    def _workers(self, work: Sequence[Sequence[Run]]) -> int:
        """Return the number of processes; on a GPU, as many as have room for their stacks.

        While one process writes records, another can train.
        """
        if all(len(runs) == 1 for runs in work) or not torch.cuda.is_available():
            return self.workers
        memory = torch.cuda.get_device_properties(0).total_memory
        return max(1, min(self.at_once, memory // STACK_MEMORY))

    def perform(self, work: Sequence[Sequence[Run]]) -> Sequence[Sequence[str | None]]:
        """Do all items; the worker processes are kept for the next call."""
        try:
            return list(in_workers(perform, work, workers=self._workers(work)))
        except BrokenProcessPool as error:
            raise LauncherError(
                "a worker process was killed, as happens when memory runs out; finished runs are "
                "kept, and the same command resumes (launcher.workers=1 for fewer workers)"
            ) from error
