"""Run on a Ray cluster, either an existing one or one started on this machine.

Hydra's plugin is not used: it composes each run's configuration again in its worker, starts a
dashboard and writes into the home folder.
"""

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

from losslab.experiment import perform
from losslab.files import one_line
from losslab.launchers.base import Launcher, LauncherError, add_to_path, check_counts, require
from losslab.recording import Run
from losslab.workers import variables


@final
@dataclass
class Ray(Launcher):
    """One actor per worker, which imports torch once and keeps its share of a GPU."""

    # Of an existing cluster, ``auto`` or ``HOST:PORT``, whose machines have losslab, the data and
    # the output folder at the same paths. ``None`` starts one on this machine.
    address: str | None = None
    workers: int | None = None  # concurrent runs; ``None`` for as many as the resources allow
    cpus: float = 1  # of each run
    gpus: float = 0  # of each run; 0.25 for four on one GPU
    _actors: list[Any] = field(default_factory=list, init=False)
    _temporary: Path | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        require("ray", extra="ray")
        if self.workers is not None:
            check_counts(self, "workers")
        for name, positive in (("cpus", True), ("gpus", False)):
            value = getattr(self, name)
            if value < 0 or (positive and value == 0):
                raise ValueError(f"launcher.{name}={value}; give a number above 0, e.g. 0.25")
        self.device: Literal["cpu", "cuda"] = "cuda" if self.gpus else "cpu"

    def _start(self) -> None:
        # Under `uv run` Ray would copy the working folder, including .venv, for each cluster.
        os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if self.address is None:
            # Otherwise Ray writes a token into the home folder.
            os.environ["RAY_AUTH_MODE"] = "token"
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        import ray

        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        try:
            if self.address is None:
                # A short path, as the length of socket paths is limited.
                self._temporary = Path(tempfile.mkdtemp(prefix="ray-"))
                quiet |= {"_temp_dir": str(self._temporary), "include_dashboard": False}
                ray.init(address="local", **quiet)
            else:
                ray.init(address=self.address, **quiet)
        except (ConnectionError, RuntimeError) as error:
            raise ValueError(f"launcher.address={self.address}: {one_line(error)}") from error

    def __exit__(self, *_: object) -> None:
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()
        self._actors.clear()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def perform(self, work: Sequence[Sequence[Run]]) -> Sequence[Sequence[str | None]]:
        """Do all items; the actors are kept for the next call."""
        if not self._actors:
            self._start()
        from ray.exceptions import RayError
        from ray.util import ActorPool

        self._start_actors(len(work))
        pool, lost = ActorPool(self._actors), 0
        results: list[Sequence[str | None]] = [[None] * len(runs) for runs in work]
        for item in enumerate(work):
            pool.submit(lambda actor, item: actor.do.remote(*item), item)
        while pool.has_next():  # type: ignore[no-untyped-call]
            try:
                index, result = pool.get_next_unordered()
                results[index] = result
            except RayError:  # the worker died; Ray restarts it
                lost += 1
        if lost:
            raise LauncherError(
                f"{lost} of {len(work)} runs or stacks lost their Ray worker, as happens when "
                "memory runs out; finished runs are kept, and the same command resumes"
            )
        return results

    def _start_actors(self, items: int) -> None:
        import ray

        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
        cpus, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
        # A share of a GPU lies on one device: 0.6 fits once per GPU, not three times on two.
        fit = min(
            int(number // share) if share > 1 else int(number) * int(1 // share)
            for number, share in ((cpus, self.cpus), (gpus, self.gpus))
            if share
        )
        if fit < 1:
            raise ValueError(
                f"launcher.cpus={self.cpus} launcher.gpus={self.gpus}: the cluster has "
                f"{cpus:g} CPUs and {gpus:g} GPUs; request no more than that"
            )
        actor = ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, max_restarts=-1, max_task_retries=0
        )(_Worker)
        while len(self._actors) < min(items, fit, self.workers or fit):
            self._actors.append(actor.remote(str(Path.cwd()), list(sys.path), variables()))


class _Worker:
    """Trains runs in one of Ray's processes, in the folder where the command was started."""

    def __init__(self, folder: str, path: list[str], environment: dict[str, str]) -> None:
        os.chdir(folder)
        add_to_path(path)
        os.environ.update(environment)

    def do(self, index: int, runs: Sequence[Run]) -> tuple[int, list[str | None]]:
        return index, perform(runs)
