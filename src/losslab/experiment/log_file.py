"""A run's log.txt."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from losslab.text import printable

logger = logging.getLogger("losslab")
_turn: ContextVar[Path | None] = ContextVar("turn", default=None)


class _LogFile(logging.FileHandler):
    """A log that is silent when its disk is full, which is reported once, elsewhere."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        del record

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def logging_on() -> Iterator[None]:
    """Let losslab's log and all warnings reach the open log files."""
    level = logger.level
    logger.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        logger.setLevel(level)


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Keep a run's own log file open; what is said while another run has its turn is not for it."""
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(lambda _: _turn.get() in (None, path))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


@contextmanager
def turn_of(path: Path) -> Iterator[None]:
    """Give a run its turn, of several that train together: only its log is written."""
    token = _turn.set(path)
    try:
        yield
    finally:
        _turn.reset(token)
