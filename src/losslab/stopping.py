"""Ending a command from outside, and its workers with it."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import cache

SECONDS_BETWEEN_LOOKS = 1.0


class Terminated(KeyboardInterrupt):
    """Asked to end by SIGTERM, as ``kill``, a time limit or a queueing system asks."""


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: files closed, workers ended, and it says so."""

    def stop(number: int, frame: object) -> None:
        del number, frame
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is under way
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end_with_parent() -> None:
    """Watch for the end of the parent of this process, if it is a worker of one; once is enough.

    Its run goes on with the next command: ending at any moment loses nothing. Without this, the
    workers of a command that was killed would train on for hours, and nobody would know.
    """
    _watch_parent_of(os.getpid())


@cache
def _watch_parent_of(process: int) -> None:
    del process  # a fork has the cache of its parent, and a watch of its own to keep
    creator = multiprocessing.parent_process()
    if creator is None:
        return

    def watch() -> None:
        # Also where the parent was gone before this began.
        while os.getppid() == creator.pid:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
