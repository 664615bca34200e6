"""Worker processes on this machine."""

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_SECONDS_BETWEEN_CHECKS = 1.0
# After a command was stopped, joblib's resource tracker removes temporary folders with a warning.
_TRACKER = "ignore:resource_tracker:UserWarning"
# joblib replaces a worker that has grown by 300 MB between two runs, for
# example by loading another data set.
_REPLACED = "A worker stopped while some jobs were given to the executor"


def in_workers(function: Callable[[T], R], items: Iterable[T], *, workers: int = -1) -> Iterator[R]:
    """Yield ``function(item)`` for each item, in order, from processes that outlive the call.

    Ctrl-C reaches only this process, which ends its workers. If it is killed, they end, too.

    Args:
        function: Importable in another process.
        items: Each can be pickled.
        workers: How many processes; -1 for one per core.

    Raises:
        concurrent.futures.process.BrokenProcessPool: A worker was killed.
    """
    import joblib

    filters = os.environ.get("PYTHONWARNINGS", "")
    if _TRACKER not in filters:
        os.environ["PYTHONWARNINGS"] = f"{filters},{_TRACKER}".removeprefix(",")
    # No batches: an item takes much longer than dispatching it.
    with warnings.catch_warnings(), joblib.Parallel(
        n_jobs=workers, backend="loky", batch_size=1, return_as="generator",
        # A new folder or new variables get new workers.
        initializer=_begin, initargs=(str(Path.cwd()), variables()),
    ) as parallel:  # fmt: skip
        warnings.filterwarnings("ignore", _REPLACED, UserWarning)
        # Workers started with SIGINT blocked leave Ctrl-C to this process, which ends them.
        resource_tracker.ensure_running()  # first, as its start unblocks the signal
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            results = parallel(joblib.delayed(function)(item) for item in items)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        yield from results


def cores() -> int:
    """Return how many cores this process may use."""
    import joblib

    return int(joblib.cpu_count())


def variables() -> dict[str, str]:
    """Return losslab's environment variables, which a notebook may change, for a worker."""
    return {name: value for name, value in os.environ.items() if name.startswith("LOSSLAB_")}


def end_with_parent() -> None:
    """End this process when its parent ends, if it is a worker.

    Otherwise the workers of a killed command would keep training for hours. The next command
    resumes their runs.
    """
    _watch_parent_of(os.getpid())


def _begin(folder: str, environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    end_with_parent()


@cache
def _watch_parent_of(process: int) -> None:
    del process  # the cache key: a forked process inherits the cache but has another parent
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        # Also right if the parent has already ended.
        while os.getppid() == parent.pid:
            time.sleep(_SECONDS_BETWEEN_CHECKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
