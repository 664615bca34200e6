"""Runs on this machine: in this process, or in one worker process a core."""

import os
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import final

from losslab.experiment import perform
from losslab.experiment.target_allowlist import FOLDERS
from losslab.launchers.base import Launcher, LauncherError
from losslab.recording import Run
from losslab.stopping import end_with_parent


@final
class Serial(Launcher):
    """One after another, in this process."""

    def launch(self, runs: Sequence[Run]) -> Sequence[str | None]:
        """Do all runs."""
        return [perform(run) for run in runs]


@final
@dataclass(frozen=True)
class Joblib(Launcher):
    """One worker process a core.

    Attributes:
        workers: How many; -1 for one a core.

    Raises:
        ValueError: ``workers`` is no number of processes.
    """

    workers: int = -1

    def __post_init__(self) -> None:
        if self.workers < 1 and self.workers != -1:
            raise ValueError(
                f"launcher.workers={self.workers}; give a number of processes from 1 up, "
                "or -1 for one a core"
            )

    def launch(self, runs: Sequence[Run]) -> Sequence[str | None]:
        """Do all runs; the processes stay for the next round."""
        import joblib

        try:
            # Each run matters more than the time to hand it out: no batches.
            parallel = joblib.Parallel(
                n_jobs=self.workers,
                backend="loky",
                batch_size=1,
                initializer=_begin,
                # Other folders than in an earlier round: other workers.
                initargs=(os.environ.get(FOLDERS, ""),),
            )
            return list(parallel(joblib.delayed(perform)(run) for run in runs))
        except BrokenProcessPool as error:
            raise LauncherError(
                "a worker process was killed, as happens where memory runs out; finished runs "
                "are kept, and the same command goes on from here (launcher.workers=1 for fewer "
                "workers)"
            ) from error


def _begin(folders: str) -> None:
    os.environ[FOLDERS] = folders
    end_with_parent()
