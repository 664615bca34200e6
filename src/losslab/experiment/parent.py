"""A worker process ends with the command that started it, even where that was killed."""

import multiprocessing
import os
import threading
import time
from functools import cache

SECONDS_BETWEEN_LOOKS = 1.0


@cache
def end_with_parent() -> None:
    """Watch for the end of the parent of this process, if it is a worker of one; once is enough.

    Its run goes on with the next command: ending at any moment loses nothing. Without this, the
    workers of a command that was killed would train on for hours, and nobody would know.
    """
    creator = multiprocessing.parent_process()
    if creator is None:
        return
    parent = os.getppid()

    def watch() -> None:
        # The second of them for a parent that ended before the first was looked at.
        while os.getppid() == parent and _is_alive(creator.pid):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _is_alive(process: int | None) -> bool:
    try:
        os.kill(process or os.getpid(), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
