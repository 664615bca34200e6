"""A live progress bar of a sweep, from status files, so that it works with every launcher."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from losslab.recording import FINISHED, Run

SECONDS_BETWEEN_LOOKS = 0.5

SECONDS_OF_SILENCE = 3.0

_Item = TypeVar("_Item")


def counted(items: Iterable[_Item], *, console: Console) -> Iterator[_Item]:
    """Give runs to check; say how many there are if that takes more than a few seconds."""
    every, began, told = list(items), time.monotonic(), False
    for done, item in enumerate(every):
        if not told and time.monotonic() - began > SECONDS_OF_SILENCE:
            told = True
            console.print(Text(f"checking {len(every)} runs first, {done} so far"))
        yield item


class SweepProgress:
    """Show runs done, failed and remaining, and the time left, while the context is open.

    If ``console`` is not a terminal, print one line at the beginning and one at the end.
    """

    def __init__(self, runs: Sequence[Run], *, console: Console, title: str) -> None:
        self._pending = list(runs)
        # A failed run that is retried keeps this status until a worker starts it.
        self._stale = {run for run in runs if run.status == "failed"}
        self._total, self._failed = len(runs), 0
        self._console, self._title = console, title
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[runs]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(title, total=self._total, runs=self._counts())

    def __enter__(self) -> "SweepProgress":
        if not self._console.is_terminal:
            self._console.print(Text(f"{self._title}: {self._total} runs"))
        self._progress.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._stale.clear()  # one that failed again at once was never seen running
        self._look()
        self._progress.stop()
        if not self._console.is_terminal:
            self._console.print(Text(f"{self._title}: {self._counts()}"))

    def _watch(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_LOOKS):
            self._look()

    def _look(self) -> None:
        still = []
        for run in self._pending:
            status = run.status
            if status != "failed":
                self._stale.discard(run)
            if status == "failed" and run not in self._stale:
                self._failed += 1
            elif status not in FINISHED:
                still.append(run)
        self._pending = still
        completed = self._total - len(still)
        self._progress.update(self._task, completed=completed, runs=self._counts())

    def _counts(self) -> str:
        done = self._total - len(self._pending) - self._failed
        return f"{done} done, {self._failed} failed, {len(self._pending)} remaining"
