"""Run on a Slurm cluster, in job arrays submitted by submitit.

Hydra's plugin is not used: it makes every run a job, and importing torch takes ten seconds for a
run of perhaps one second.
"""

import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

from losslab.files import one_line
from losslab.launchers.base import Launcher, LauncherError, add_to_path, check_counts, require
from losslab.launchers.local import Joblib, Serial
from losslab.recording import Run

# submitit writes four files per job, so this keeps folders below a thousand entries. Clusters
# rarely allow arrays of more than a thousand jobs.
_JOBS_PER_ARRAY = 200
# Options become lines of a shell script, and may come from an untrusted configuration.
_NOT_OPTIONS = (
    *("array", "chdir", "container", "error", "export", "export_file", "get_user_env", "input"),
    *("open_mode", "output", "wrap"),
)
_SECONDS_BETWEEN_POLLS = 1.0
_POLLS_PER_SQUEUE = 10  # Slurm is polled less often than the folder


@final
@dataclass(frozen=True)
class Slurm(Launcher):
    """Jobs of several runs each; the command waits for them.

    A job that runs out of time or is preempted is queued again and resumes from the last
    checkpoints. The cluster's machines must have losslab, the data and the output folder at the
    same paths as the machine on which the command is started.
    """

    runs_per_job: int = 10  # at most
    runs_at_once: int = 1  # of a job; they share its GPUs
    jobs_at_once: int = 100  # at most
    minutes: int = 240  # the time limit of a job
    cpus: int = 1  # of each run
    gpus: int = 0  # of each job
    memory_gb: float | None = None  # of each job; ``None`` for the partition's default
    partition: str | None = None  # ``None`` for the cluster's default
    options: dict[str, Any] | None = None  # of ``sbatch``: long names, without leading dashes
    cluster: Literal["slurm", "local"] = "slurm"  # ``local``: processes on this machine

    def __post_init__(self) -> None:
        require("submitit", extra="slurm")
        check_counts(self, "runs_per_job", "runs_at_once", "jobs_at_once", "minutes", "cpus")
        if self.gpus < 0:
            raise ValueError(f"launcher.gpus={self.gpus}; give 0 or more")
        if self.memory_gb is not None and self.memory_gb <= 0:
            raise ValueError(f"launcher.memory_gb={self.memory_gb}; give more than 0, or null")
        for name, value in {"partition": self.partition, **(self.options or {})}.items():
            if not re.fullmatch("[a-z][a-z_-]*", str(name)) or not str(value).isprintable():
                raise ValueError(f"launcher.options: {name}={value!r} is not a one-line option")
            if name.replace("-", "_") in _NOT_OPTIONS:
                raise ValueError(
                    f"launcher.options.{name} is set by losslab, or changes what runs; leave out "
                    f"{', '.join(_NOT_OPTIONS)}"
                )
        if self.cluster not in ("slurm", "local"):
            raise ValueError(f"launcher.cluster={self.cluster}; allowed are slurm and local")
        if self.cluster == "slurm" and shutil.which("sbatch") is None:
            raise ValueError(
                "launcher=slurm: this machine has no sbatch; start the command where jobs are "
                "submitted, or try launcher=submitit_local"
            )

    @property
    def device(self) -> Literal["cpu", "cuda"]:  # type: ignore[override]
        """The device of a job."""
        return "cuda" if self.gpus else "cpu"

    def perform(self, work: Sequence[Sequence[Run]]) -> Sequence[Sequence[str | None]]:
        """Submit jobs and wait; submitit's files are kept only if a job was lost."""
        parent = work[0][0].root / ".submitit"
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=parent))
        count = -(-len(work) // self.runs_per_job)
        # Interleaved, so that one job does not get all the slow runs of a sweep.
        parts, path = [tuple(work[index::count]) for index in range(count)], tuple(sys.path)
        jobs = self._submit([_Work(part, self.runs_at_once, path) for part in parts], folder)
        lost = [
            job.paths.stderr
            for job in jobs
            if not job.paths.result_pickle.exists() or job.exception() is not None
        ]
        if lost:
            raise LauncherError(
                f"{len(lost)} of {count} jobs ended before their runs did, see {lost[0]}; finished "
                "runs are kept, and the same command resumes"
            )
        results: list[Sequence[str | None]] = [[]] * len(work)
        for index, job in enumerate(jobs):
            results[index::count] = job.result()
        shutil.rmtree(folder)
        if not any(parent.iterdir()):
            parent.rmdir()
        return results

    def _submit(self, work: Sequence["_Work"], folder: Path) -> list[Any]:
        """Submit jobs, wait until all have ended and return them."""
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        local = self.cluster == "local"
        size = self.jobs_at_once if local else _JOBS_PER_ARRAY
        jobs: list[Any] = []
        options = dict(self.options or {})
        try:
            for start in range(0, len(work), size):
                executor = self._executor(folder / str(start // size), options)
                # submitit also prints the output of sbatch, which the error below repeats.
                with redirect_stderr(io.StringIO()), executor.batch():
                    array = [executor.submit(part) for part in work[start : start + size]]
                jobs += array
                if local:
                    _wait(array, local=True)
                # One array after another: jobs_at_once holds for each, and so for all.
                options["dependency"] = f"afterany:{array[0].job_id.split('_')[0]}"
            _wait(jobs, local=local)
        except (FailedJobError, FailedSubmissionError) as error:
            raise ValueError(f"launcher=slurm: {one_line(error)}") from error
        except BaseException:
            for job in jobs:
                job.cancel(check=False)
            raise
        return jobs

    def _executor(self, folder: Path, options: dict[str, Any]) -> Any:
        import submitit

        executor = submitit.AutoExecutor(folder=folder, cluster=self.cluster)
        executor.update_parameters(
            name="losslab",
            timeout_min=self.minutes,
            cpus_per_task=self.cpus * self.runs_at_once,
            gpus_per_node=self.gpus or None,
            mem_gb=self.memory_gb,
            slurm_partition=self.partition,
            slurm_array_parallelism=self.jobs_at_once,
            slurm_additional_parameters=options,
        )
        return executor


@dataclass(frozen=True)
class _Work:
    """The runs and stacks of one job."""

    items: tuple[Sequence[Run], ...]
    at_once: int
    path: tuple[str, ...]

    def __call__(self) -> list[Sequence[str | None]]:
        add_to_path(self.path)
        launcher = Serial() if self.at_once == 1 else Joblib(workers=self.at_once)
        return list(launcher.perform(self.items))

    def checkpoint(self) -> Any:
        """Requeue the same job, as finished runs are skipped."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _wait(jobs: Sequence[Any], *, local: bool) -> None:
    """Wait until all jobs are done or gone; submitit would wait forever for a killed one."""
    pending, absent, polls = list(jobs), set[str](), 0
    while pending:
        time.sleep(_SECONDS_BETWEEN_POLLS)
        polls += 1
        pending = [
            job
            for job in pending
            if not (job.done() if local else job.paths.result_pickle.exists())
        ]
        if local or polls % _POLLS_PER_SQUEUE or (queued := _queued()) is None:
            continue
        missing = {job.job_id for job in pending} - queued
        # Missing twice: on a shared file system a result may appear late.
        pending = [job for job in pending if job.job_id not in missing & absent]
        absent = missing


def _queued() -> set[str] | None:
    """Return this user's queued and running jobs; ``None`` if Slurm does not answer."""
    command = ["squeue", "--noheader", "--me", "--array", "--format=%F %K"]
    squeue = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if squeue.returncode:
        return None
    rows = [line.split() for line in squeue.stdout.splitlines() if line.strip()]
    return {name for job, index in rows for name in (job, f"{job}_{index}")}
