"""Stop a command when it receives a signal."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

# An earlier second signal may be the first one, sent to the process and again to its group.
_SECONDS_UNTIL_FORCED = 1.0


class Terminated(KeyboardInterrupt):
    """SIGTERM was received: from ``kill``, a time limit or a queueing system."""


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[list[int]]:
    """Make SIGTERM interrupt a command as Ctrl-C does.

    Yield a list that receives the number of the signal, since a library may turn the exception into
    another error. A second signal at least a second later ends the process at once.
    """
    received: list[int] = []
    swallowed, since = False, 0.0

    def stop(number: int, frame: object) -> None:
        nonlocal swallowed, since
        del frame
        if not received or swallowed:
            received.append(number)
            swallowed, since = False, time.monotonic()
            raise Terminated if received[0] == signal.SIGTERM else KeyboardInterrupt
        if time.monotonic() - since > _SECONDS_UNTIL_FORCED:
            os._exit(128 + received[0])

    def unraisable(error: "sys.UnraisableHookArgs") -> None:
        nonlocal swallowed
        if not isinstance(error.exc_value, KeyboardInterrupt):
            hook(error)
            return
        # The signal arrived in a finalizer, where Python drops exceptions: send it again.
        swallowed = True
        threading.Timer(0.01, os.kill, (os.getpid(), received[0])).start()

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    before = {
        number: signal.signal(number, stop)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook
