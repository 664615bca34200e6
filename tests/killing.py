"""Commands in processes of their own that can be killed, and what must be left in the end."""

import json
import os
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
import yaml
from joblib.externals.loky.backend.context import set_start_method
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from losslab import cli
from running import TINY, records, results, status

torch.optim.SGD([torch.zeros(1)], lr=0.1)  # its first one imports torch's compiler

SWEEP = (
    *("train", "-m", *TINY, "launcher=joblib", "launcher.workers=2"),
    *("loss=mse,cross_entropy", "seed=0,1,2", "trainer.epochs=60"),
)
"""Six runs, each of a second and 59 checkpoints, by two workers."""


class Command:
    """A command line in a child of this process, which has imported everything already.

    Its workers are forked, too: a killed sweep is under way again in a tenth of a second instead
    of ten seconds, so that many kills hit the training. All else is what a shell would start: the
    command leads a process group of its own.
    """

    def __init__(self, folder: Path, *arguments: str, before: str = "") -> None:
        # In memory: the disk may be the thing that is full.
        self._out, self._err = os.memfd_create("out"), os.memfd_create("err")
        self.started = time.time()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(folder, arguments, before)

    def _run(self, folder: Path, arguments: tuple[str, ...], before: str) -> None:
        code = 70
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.dup2(self._out, 1)
            os.dup2(self._err, 2)
            sys.stdout = os.fdopen(1, "w")
            sys.stderr = os.fdopen(2, "w")
            os.chdir(folder)
            sys.argv = ["losslab", *arguments]
            warnings.resetwarnings()  # those of the command, not of the tests
            warnings.filterwarnings("ignore", message="`fork` start method")
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            set_start_method("fork", force=True)
            exec(before)
            try:
                cli.main()
            except SystemExit as end:
                code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:  # never back into the test
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)

    @property
    def out(self) -> str:
        return _read(self._out)

    @property
    def err(self) -> str:
        return _read(self._err)

    def workers(self) -> list[int]:
        """Return the processes that the command started."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except FileNotFoundError:
            return []
        return [int(pid) for pid in children.split()]

    def ended(self) -> bool:
        """Return whether the command has ended; it is not reaped."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is not None

    def wait(self, seconds: float = 120) -> int:
        """Return the exit code, that of a signal below 0."""
        wait_until(self.ended, seconds)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def send(self, number: int, *, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.pid, number)

    def is_gone(self) -> bool:
        """Return whether no process of its group is left."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def close(self) -> None:
        os.close(self._out)
        os.close(self._err)


def _read(file: int) -> str:
    return os.pread(file, os.fstat(file).st_size, 0).decode()


@contextmanager
def command(folder: Path, *arguments: str, before: str = "") -> Iterator[Command]:
    """Start a command; whatever is left of it at the end of the context is killed."""
    started = Command(folder, *arguments, before=before)
    try:
        yield started
    finally:
        if not started.is_gone():
            started.send(signal.SIGKILL, group=True)
        with suppress(ChildProcessError):  # it was waited for
            os.waitpid(started.pid, 0)
        started.close()


def wait_until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.002)


def pause(started: Command, seconds: float) -> None:
    """Wait, but not beyond the end of a command."""
    with suppress(AssertionError):
        wait_until(started.ended, seconds)


def train_begins(started: Command, outputs: Path) -> None:
    """Wait until a command's first run has written something, or all has ended."""
    wait_until(lambda: started.ended() or trains(outputs, started.started))


def trains(outputs: Path, since: float) -> bool:
    """Return whether some run has written records since."""
    for path in outputs.glob("*/*/seed=*/metrics.jsonl"):
        try:
            if path.stat().st_mtime > since:
                return True
        except FileNotFoundError:
            pass
    return False


def events(run: Path) -> Counter[tuple[str, int]]:
    """Return how often each (tag, step) is in the event files, read record by record."""
    return Counter(
        (value.tag, event.step)
        for file in run.glob("events*")
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
    )


def contents(run: Path) -> dict[str, object]:
    """Return all that a finished run's files hold, but for what depends on the clock.

    Every file is read whole, so that one that was cut off is an error.
    """
    assert status(run) == "done"
    for name in ("model.safetensors", "predictions.safetensors"):
        assert load_file(run / name)
    assert {"start", "end", "command"} <= json.loads((run / "manifest.json").read_text()).keys()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert len(records(run)) == len(lines)
    seen = events(run)
    assert set(seen.values()) == {1}, [key for key, count in seen.items() if count > 1]
    return {
        **results(run),
        "config.yaml": yaml.safe_load((run / "config.yaml").read_text()) | {"name": ""},
        "metrics.jsonl": records(run),
        "curves.jsonl": (run / "curves.jsonl").read_text().count("\n"),
        "events": sorted(seen),
        "names": sorted(path.name.partition(".tfevents")[0] for path in run.iterdir()),
    }


def sweep_contents(folder: Path) -> dict[str, dict[str, object]]:
    """Return :func:`contents` of all runs below the folder of a sweep, which holds nothing else."""
    runs = {path.relative_to(folder).as_posix(): path for path in folder.glob("*/seed=*")}
    inside = {path for path in folder.rglob("*") if path.is_file()}
    assert inside == {path for run in runs.values() for path in run.iterdir()}
    return {name: contents(path) for name, path in runs.items()}
