"""The program: from the words of a command to its exit code."""

import os
import signal
import sys
import traceback
from pathlib import Path

import losslab
from losslab.cli.commands import COMMANDS
from losslab.stopping import terminated_as_interrupted
from losslab.text import nearest, out_of_memory, say

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143
_KEPT = "; finished runs are kept, and the same command resumes"

USAGE = Path(__file__).with_name("usage.txt")


def main() -> None:
    """Run the command line and exit.

    The code is 0, 1 (runs failed, results not reproduced), 2 (bad input), 130 or 143 (stopped).
    """
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"  # before Hydra's own use of it
    # Workers, started with `python -m` or `-c`, would import modules of the working folder.
    os.environ["PYTHONSAFEPATH"] = "1"
    code = INTERRUPTED
    with terminated_as_interrupted() as signals:
        try:
            code = _run(sys.argv[1:])
        except KeyboardInterrupt:
            pass
        except SystemExit as end:  # of --help
            code = int(end.code or 0)
        except Exception as error:
            expected = isinstance(error, ValueError | OSError)
            message = str(error) if expected else out_of_memory(error)
            # After a signal, it is the cause, whatever a library turned it into.
            if not signals and not (expected or message):
                raise
            if full_error:
                traceback.print_exc()
            if not signals:
                say(message or type(error).__name__)
            code = BAD_INPUT
        if signals or code == INTERRUPTED:
            kept = _KEPT if sys.argv[1:2] in (["train"], ["study"], ["verify"]) else ""
            say(f"stopped{kept}")
            code = TERMINATED if signals and signals[0] == signal.SIGTERM else INTERRUPTED
        sys.stdout.flush()
    raise SystemExit(code)


def _run(arguments: list[str]) -> int:
    for text in arguments:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{text} cannot be read as text in {sys.getfilesystemencoding()}; "
                "set PYTHONUTF8=1, or a locale with UTF-8"
            ) from None
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE.read_text("utf-8"))
        return 0 if arguments else BAD_INPUT
    if arguments[0] == "--version":
        sys.stdout.write(f"losslab {losslab.__version__}\n")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name in ("-sc", "--shell-completion"):
        return COMMANDS["train"](["-sc", *rest])  # Hydra's scripts for the shell
    if name not in COMMANDS:
        meant = nearest(name, COMMANDS)
        raise ValueError(f"unknown command {name!r}{meant}; allowed are {', '.join(COMMANDS)}")
    return COMMANDS[name](rest)
