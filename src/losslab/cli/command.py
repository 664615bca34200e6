"""What the commands share: how they read their arguments, and how they end."""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from losslab.text import printable

if TYPE_CHECKING:
    from losslab.launchers import Failed

FAILED_RUNS = 1
HELP = ("-h", "--help", "help")
_NAMED = 3  # runs that did not even start; more are counted


def say(text: str) -> None:
    """Write a text as one line on standard error."""
    line = printable(" ".join(text.split()))
    sys.stderr.write(f"losslab: {line}\n")


def new_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of a command's arguments."""
    return argparse.ArgumentParser(prog=f"losslab {name}", description=description)


def parse(
    parser: argparse.ArgumentParser, arguments: list[str], *, mixed: bool = False
) -> argparse.Namespace:
    """Read arguments; argparse itself would print its usage before the one line that says why."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return (parser.parse_intermixed_args if mixed else parser.parse_args)(arguments)
    except SystemExit as end:
        if not end.code:
            raise
        reason = printed.getvalue().splitlines()[-1].partition("error: ")[2]
        raise ValueError(f"{reason}; see `{parser.prog} --help`") from None


def find_own_modules() -> None:
    """Let a configuration name modules in the working folder, last of all places.

    Only where a configuration is built: commands that only look run nothing that lies there.
    """
    from hydra.core.plugins import Plugins

    Plugins.instance()  # before, as Hydra imports every plugin that it finds
    # Processes that are started with `python -m` would look there first.
    os.environ["PYTHONSAFEPATH"] = "1"
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


def outcome(work: "Callable[[], list[Failed]]") -> int:
    """Do a command's runs, name those that did not finish, and return the exit code."""
    from losslab.launchers import LauncherError

    code = 0
    try:
        failed = work()
    except LauncherError as error:
        say(str(error))
        failed, code = list(error.failed), FAILED_RUNS
    unstarted = [each for each in failed if each.run.status is None]
    named = unstarted[:_NAMED]
    for each in failed:
        if each in unstarted and each not in named:
            continue
        log = each.run.files.log
        see = f"; see {log.name} there" if log.exists() else ""
        say(f"not finished: {each.run.path} ({each.reason}){see}")
    if len(unstarted) > len(named):
        say(f"not finished: {len(unstarted) - len(named)} more that did not start")
    return FAILED_RUNS if failed else code
