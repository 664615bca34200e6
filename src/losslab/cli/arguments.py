"""The parser of every command's arguments."""

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """argparse's parser, with one-line errors."""

    def error(self, message: str) -> NoReturn:
        """Raise ``ValueError``; the usual method prints several lines and exits."""
        raise ValueError(f"{message}; see `{self.prog} --help`")
