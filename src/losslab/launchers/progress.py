"""A live progress bar for a sweep. It reads status files, so it works with every launcher."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from losslab.files import read_json
from losslab.recording import FINISHED, Run, last_record

SECONDS_BETWEEN_POLLS = 0.5

SECONDS_OF_SILENCE = 3.0

SECONDS_BETWEEN_LINES = 60.0
"""Minimum without a terminal; a line also needs another tenth of the runs to be done."""

_Item = TypeVar("_Item")


def announce_if_slow(items: Iterable[_Item], *, console: Console) -> Iterator[_Item]:
    """Yield items to check; print how many there are if that takes more than a few seconds."""
    items, began, announced = list(items), time.monotonic(), False
    for done, item in enumerate(items):
        if not announced and time.monotonic() - began > SECONDS_OF_SILENCE:
            announced = True
            console.print(Text(f"checking {len(items)} runs first: {done} done"))
        yield item


class SweepProgress:
    """Show the runs done, running and failed, the best validation accuracy and the time left.

    Without a terminal, as in a log, prints a line at the start, one at the end, and between them
    one for each further tenth, a minute apart or more.
    """

    def __init__(self, runs: Sequence[Run], *, console: Console, title: str) -> None:
        self._pending = list(runs)
        # A failed run that is retried keeps this status until a worker starts it.
        self._stale = {run for run in runs if run.status == "failed"}
        self._total, self._failed = len(runs), 0
        self._best, self._began = -1.0, time.monotonic()
        self._samples = deque([(self._began, 0.0)])  # time, and number of runs done then
        self._printed, self._tenths = self._began, 0  # the last line of a log
        self._console, self._title = console, title
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        name = Column(no_wrap=True, overflow="ellipsis", max_width=26)
        columns = (
            TextColumn("{task.description}", markup=False, table_column=name),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[runs]}", table_column=Column(no_wrap=True)),
        )
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task(title, total=self._total, runs="")

    def __enter__(self) -> "SweepProgress":
        if not self._console.is_terminal:
            runs = "run" if self._total == 1 else "runs"
            self._console.print(Text(f"{self._title}: {self._total} {runs}"))
        else:
            self._progress.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._stale.clear()  # a run that failed again immediately was never seen running
        self._poll()
        self._progress.stop()
        if not self._console.is_terminal:
            done = self._total - len(self._pending) - self._failed
            counts = f"{done} done, {self._failed} failed, {len(self._pending)} remaining"
            self._console.print(Text(f"{self._title}: {counts}"))

    def _watch(self) -> None:
        wait = SECONDS_BETWEEN_POLLS
        while not self._stop.wait(wait):
            began = time.thread_time()
            self._poll()
            if not self._console.is_terminal:
                self._log()
            # Thousands of runs are polled less often, to leave the cores to the workers.
            wait = max(SECONDS_BETWEEN_POLLS, 50 * (time.thread_time() - began))

    def _log(self) -> None:
        task, now = self._progress.tasks[0], time.monotonic()
        tenths = int(task.percentage // 10)
        if tenths > self._tenths and now - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed, self._tenths = now, tenths
            self._console.print(Text(f"{self._title}: {task.fields['runs']}"), soft_wrap=True)

    def _poll(self) -> None:
        pending, running, fractions = [], 0, 0.0
        for run in self._pending:
            status = run.status
            if status == "running":
                running += 1
                fractions += _fraction_done(run)
            if status != "failed":
                self._stale.discard(run)
            if status == "failed" and run not in self._stale:
                self._failed += 1
            elif status not in FINISHED:
                pending.append(run)
            elif status == "done":
                self._best = max(self._best, _accuracy(run))
        self._pending = pending
        completed = self._total - len(pending)
        done, now, samples = completed + fractions, time.monotonic(), self._samples
        if not running and not completed:  # workers take seconds to start
            self._began = now
            samples.clear()
        samples.append((now, done))
        # The pace is that of the second half so far: runs on larger images may come last.
        while len(samples) > 2 and samples[1][0] < (self._began + now) / 2:
            samples.popleft()
        text = f"{completed - self._failed}/{self._total} done, {running} running"
        text += f", {self._failed} failed" if self._failed else ""
        text += f", best {self._best:.1%}" if self._best >= 0 else ""
        since, before = samples[0] if done > samples[0][1] else (self._began, 0.0)
        if pending and done:
            left = round((self._total - done) * (now - since) / (done - before))
            text += f", {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
        self._progress.update(self._task, completed=done, runs=text)


def _fraction_done(run: Run) -> float:
    """Return the progress of a run, in [0, 1], from its last record."""
    trainer = run.composed.trainer
    key = "epoch" if trainer.steps is None else "step"
    try:
        return min(1.0, float(last_record(run.files.metrics)[key] / trainer[f"{key}s"]))
    except (OSError, ValueError, LookupError, TypeError):  # none yet, or half a line
        return 0.0


def _accuracy(run: Run) -> float:
    try:
        return float(read_json(run.files.summary)["val/accuracy"])
    except (OSError, ValueError, LookupError, TypeError):
        return -1.0
