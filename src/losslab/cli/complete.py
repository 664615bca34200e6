"""Completion with TAB."""

import os
import sys
from collections.abc import Iterable

from losslab.cli.train import run as train


def run(arguments: list[str], commands: Iterable[str]) -> int:
    """Answer the shell when TAB is pressed; Hydra knows what follows ``losslab train``."""
    if "COMP_LINE" in os.environ:
        program, *words = os.environ["COMP_LINE"].split(" ")
        if len(words) < 2:
            sys.stdout.write(" ".join(commands) + "\n")
        if len(words) < 2 or words[0] != "train":
            return 0
        os.environ["COMP_LINE"] = " ".join([program, *words[1:]])
    return train(["-sc", *arguments])
