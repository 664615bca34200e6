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
    if multiprocessing.parent_process() is None:
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
