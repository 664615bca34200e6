"""``losslab study``."""

import shlex
import sys
from typing import TYPE_CHECKING

from losslab.cli.command import HELP, find_own_modules, new_parser, outcome, parse, say
from losslab.text import Console

if TYPE_CHECKING:
    from losslab.launchers import Failed


def run(arguments: list[str]) -> int:
    """Run a study, or all of them, and report."""
    if set(arguments) & set(HELP):
        from losslab.cli import USAGE

        sys.stdout.write(USAGE)
        return 0
    flags = [
        text for text in arguments if text.startswith("-") and not text.startswith("--config-dir")
    ]
    if flags:
        raise ValueError(
            f"{flags[0]}: losslab study takes key=value and --config-dir DIR; other flags are for "
            "losslab train"
        )
    parser = new_parser("study", "Run a study, then report.")
    parser.add_argument("--config-dir", help="a folder with more choices and the code they name")
    parser.add_argument("words", nargs="*")
    given = parse(parser, arguments, mixed=True)
    if not given.words or "=" in given.words[0]:
        raise ValueError("name a study: losslab study NAME; see `losslab list study`")
    find_own_modules()
    from losslab.experiment import Composer
    from losslab.study.session import only_in_repository, open_study

    name, *overrides = given.words
    own = [] if given.config_dir is None else ["--config-dir", given.config_dir]

    def run() -> "list[Failed]":
        failed = []
        with Composer(given.config_dir) as composer:
            if name == "all" and (absent := only_in_repository(composer)):
                say(f"left out, as only losslab's repository has them: {', '.join(absent)}")
            for study in composer.choices("study") if name == "all" else [name]:
                command = shlex.join(["losslab", "study", study, *own, *overrides])
                planned, session = open_study(
                    composer, study, overrides, console=Console(), command=command
                )
                failed += planned.run(session)
        return failed

    return outcome(run)
