"""``losslab data``."""

import sys

from losslab.cli.command import find_own_modules, new_parser, parse
from losslab.text import printable


def run(arguments: list[str]) -> int:
    """Print what is read of a data set."""
    find_own_modules()
    from losslab.experiment import Composer, quoted
    from losslab.experiment.data import load

    parser = new_parser(
        "data",
        "Read the data and say how many images each class and part has, and what is skipped.",
    )
    parser.add_argument("--config-dir", help="a folder with more choices and the code they name")
    parser.add_argument("words", nargs="*", help="CHOICE, and key=value as for losslab train")
    given = parse(parser, arguments, mixed=True)
    words = [word if "=" in word else f"data={word}" for word in given.words]
    with Composer(given.config_dir) as composer:
        config = composer.compose([quoted(word) for word in words])
    lines = (printable(" ".join(line.splitlines())) for line in load(config.data).describe())
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
