"""The process of a command, ``losslab`` or ``python -m losslab``: its signals and its streams."""

import contextlib
import io
import os
import signal
import sys


def main() -> None:
    """Run the command line; Ctrl-C and SIGTERM end it quietly from the first moment."""
    for interrupt in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(interrupt) is not signal.SIG_IGN:  # as in a script's background
            signal.signal(interrupt, _stop)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:  # closed by `>&-`; the next file opened would take its number
            os.open(os.devnull, os.O_RDWR)
        if name != "stdin":
            setattr(sys, name, _stream(number, getattr(sys, name)))
    from losslab.cli import main as command

    try:
        command()
    except SystemExit as end:
        raise SystemExit(end.code or int(_Output.lost)) from None
    except KeyboardInterrupt as stop:  # after the command ended
        from losslab.stopping import Terminated

        os._exit(128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT))


def _stop(number: int, frame: object) -> None:
    """End at once: while modules are imported, and at the very end, there is nothing to lose."""
    del frame
    with contextlib.suppress(OSError):
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
    """Drops output that nobody reads any more, as in ``losslab report outputs | head``.

    The command itself continues: a closed pipe must not stop a sweep. Nor must a full disk, but
    then the command says so and exits with 1.
    """

    lost = False

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if not isinstance(error, BrokenPipeError) and self.fileno() != 2:
                _Output.lost = True
                sys.stderr.write(
                    f"losslab: the output could not be written ({error.strerror}); finished runs "
                    "are kept\n"
                )
            return super().write(data)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
