"""A run's log.txt."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from losslab.text import printable

logger = logging.getLogger("losslab")


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
def logging_to(path: Path) -> Iterator[None]:
    """Send losslab's log and all warnings to a run's own log file."""
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, level = logging.getLogger(), logger.level
    root.addHandler(handler)
    logger.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        logger.setLevel(level)
        root.removeHandler(handler)
        handler.close()
