"""The process of a command, ``losslab`` or ``python -m losslab``: its signals and its streams."""

import io
import os
import signal
import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the working folder: it comes last, and only where something is trained


def main() -> None:
    """Run the command line; Ctrl-C and SIGTERM end it quietly from the first moment."""
    for asked in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(asked) is not signal.SIG_IGN:  # as in a script's background
            # While modules are imported, and at the very end, there is nothing to lose.
            signal.signal(asked, lambda number, _: _stop(number))
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:  # closed by `>&-`; the next file opened would take its number
            os.open(os.devnull, os.O_RDWR)
        if name != "stdin":
            setattr(sys, name, _stream(number, getattr(sys, name)))
    from losslab.cli import main as command
    from losslab.stopping import Terminated

    try:
        command()
    except KeyboardInterrupt as stop:  # as it began, or ended anyway
        _stop(signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


def _stop(number: int) -> None:
    stopping = sys.modules.get("losslab.stopping")
    if stopping is None or not stopping.told:
        os.write(2, b"losslab: stopped\n")
    os._exit(128 + number)


def _stream(number: int, before: io.TextIOWrapper | None) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(number, "w", closefd=False)),
        encoding=before.encoding if before else "utf-8",
        errors="backslashreplace",  # for locales that lack a character
        line_buffering=number == 2 or os.isatty(number),
    )


class _Output(io.FileIO):
    """Output that cannot be written is dropped; the command itself continues.

    Reading only its first lines, as in ``losslab report outputs | head``, is no request to stop a
    sweep. A full disk is, but its runs may lie on another one; the command tells of it at its end.
    """

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            if not isinstance(error, BrokenPipeError) and self.fileno() != 2:
                from losslab.stopping import unwritten

                unwritten.append(error)
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            return super().write(data)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
