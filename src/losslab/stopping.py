"""Stopping a command by a signal, and its workers with it."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_UNTIL_IMPATIENT = 1.0
"""Until then a second signal may be the first one's, sent to a process and to its group."""


class Terminated(KeyboardInterrupt):
    """Asked to end by SIGTERM, as ``kill``, a time limit or a queueing system asks."""


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[list[int]]:
    """Let SIGTERM end a command as Ctrl-C does.

    Gives a list that holds the signal's number after a signal, since a library may turn the
    exception into another error. A second signal, a second later or more, ends the process at once.
    """
    asked: list[int] = []
    swallowed, since = False, 0.0

    def stop(number: int, frame: object) -> None:
        nonlocal swallowed, since
        del frame
        if not asked or swallowed:
            asked.append(number)
            swallowed, since = False, time.monotonic()
            raise Terminated if asked[0] == signal.SIGTERM else KeyboardInterrupt
        if time.monotonic() - since > SECONDS_UNTIL_IMPATIENT:
            os._exit(128 + asked[0])

    def unraisable(error: "sys.UnraisableHookArgs") -> None:
        nonlocal swallowed
        if not isinstance(error.exc_value, KeyboardInterrupt):
            hook(error)
            return
        # It hit a finalizer, where Python drops exceptions: send it again afterwards.
        swallowed = True
        threading.Timer(0.01, os.kill, (os.getpid(), asked[0])).start()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    before = {
        number: signal.signal(number, stop)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def end_with_parent() -> None:
    """End this process when its parent has ended, if it is a worker; one call is enough.

    Without this, the workers of a killed command would train on for hours, unnoticed. The next
    command resumes their runs.
    """
    _watch_parent_of(os.getpid())


@cache
def _watch_parent_of(process: int) -> None:
    del process  # a fork inherits the cache, and must watch its own parent
    creator = multiprocessing.parent_process()
    if creator is None:
        return

    def watch() -> None:
        # This also holds if the parent was gone before.
        while os.getppid() == creator.pid:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
