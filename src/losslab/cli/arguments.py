"""What all commands read their arguments with."""

import argparse
import contextlib
import io


def make_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return an empty parser of a command's arguments."""
    return argparse.ArgumentParser(prog=f"losslab {name}", description=description)


def parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """Read arguments; argparse itself would print its usage before the one line that says why."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return parser.parse_intermixed_args(arguments)
    except SystemExit as end:
        if not end.code:
            raise
        reason = printed.getvalue().splitlines()[-1].partition("error: ")[2]
        raise ValueError(f"{reason}; see `{parser.prog} --help`") from None
