"""The log of a run, ``log.txt``."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from losslab.text import printable

logger = logging.getLogger("losslab")
_turn: ContextVar[Path | None] = ContextVar("turn", default=None)


class _LogFile(logging.FileHandler):
    """A log that ignores a full disk, which is reported elsewhere."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        del record

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def logging_on() -> Iterator[None]:
    """Send losslab's log and all warnings to the open log files."""
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
    """Log to a run's file, except while another run has its turn."""
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
    """Give one of several runs that train together its turn: only its log is written."""
    token = _turn.set(path)
    try:
        yield
    finally:
        _turn.reset(token)
