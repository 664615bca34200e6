"""The commands: each parses its arguments, does its work and returns the exit code.

Slow imports are inside the commands.
"""

import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from losslab.cli.arguments import make_parser as _parser
from losslab.cli.arguments import parse as _parse
from losslab.cli.board import start_board
from losslab.cli.completion import COMMANDS as NAMES
from losslab.cli.sweeps import best, compare, end_of_sweep, runs, write_lines, write_tables
from losslab.text import Console, printable, say

if TYPE_CHECKING:
    from losslab.launchers import Failed

_FAILED_RUNS = 1
_NOT_REPRODUCED = 1
_MOST_NAMED = 3  # runs that did not even start; more are counted
_DRY_RUN = "say how many runs there are, are done, and how long the rest takes; write nothing"
_FLAGS_OF_STUDY = ("--config-dir", "--dry-run", "-h", "--help")
_TABLES = {
    "csv": "every configuration with its means and intervals as CSV",
    "latex": "the same as a LaTeX table",
    "json": "what results.json holds",
}
_EXAMPLES = Path(__file__).with_name("examples.txt")
_CONFIG_DIR = "a folder with more choices and the code they name"


def train(arguments: list[str]) -> int:
    """Train one run, or with ``-m`` a sweep."""
    _find_own_modules()
    from losslab.experiment.hydra_app import only_prints, print_with_hydra
    from losslab.experiment.hydra_private import flags

    parser = flags()
    parser.prog = "losslab train"
    parser.add_argument("--dry-run", action="store_true", help=_DRY_RUN)
    given = _parse(parser, arguments)
    # Hydra ignores overrides after a flag that follows other overrides.
    flags_first = list(arguments)
    for override in given.overrides:
        flags_first.remove(override)
    words = [*flags_first, *given.overrides]
    if only_prints(given):
        print_with_hydra(given, words, first=_EXAMPLES.read_text("utf-8") if given.help else "")
        return 0
    from losslab.sweepers.train import forecast, train

    if given.dry_run:
        write_lines(*forecast(given))
        return 0
    began = time.monotonic()

    def work() -> "list[Failed]":
        from losslab.launchers import outcome

        runs = train(given)
        if given.multirun:
            write_lines(*end_of_sweep(runs, time.monotonic() - began))
        return outcome(runs)

    return _outcome(work)


def study(arguments: list[str]) -> int:
    """Run a study, or all of them, and report."""
    for text in arguments:
        if text.startswith("-") and not text.startswith(_FLAGS_OF_STUDY):
            raise ValueError(
                f"{text}: losslab study takes key=value, --dry-run and --config-dir DIR; other "
                "flags are for losslab train"
            )
    parser = _parser(
        "study",
        "Run what is missing of a study on all cores, then report. `losslab study NAME --help` "
        "says what it asks, its arms, runs, sizes and time.",
    )
    parser.add_argument("--config-dir", help=_CONFIG_DIR)
    parser.add_argument("--dry-run", action="store_true", help=_DRY_RUN)
    parser.add_argument("words", nargs="*", help="NAME or all, and key=value for every run")
    given = _parse(parser, [text for text in arguments if text not in ("-h", "--help")])
    help_wanted = any(text in ("-h", "--help") for text in arguments)
    if help_wanted and given.words in ([], ["all"]):
        _parse(parser, arguments)  # it ends
    if not given.words or "=" in given.words[0]:
        raise ValueError("name a study: losslab study NAME; see `losslab list study`")
    _find_own_modules()
    from losslab.experiment import Composer
    from losslab.study.outline import outline

    name, *overrides = given.words
    console = Console()
    if help_wanted:
        with Composer(given.config_dir) as composer:
            sys.stdout.write(printable(outline(composer, name, overrides)))
        return 0
    own = [] if given.config_dir is None else ["--config-dir", given.config_dir]

    def run() -> "list[Failed]":
        failed = []
        with Composer(given.config_dir) as composer:
            # For seconds, of which importing torch takes most.
            with console.status("composing"):
                from losslab.data.cache import only_reading
                from losslab.study.session import only_in_repository, open_study
                from losslab.sweepers.train import not_checked
            if name == "all" and (absent := only_in_repository(composer)):
                say(f"left out, as only losslab's repository has them: {', '.join(absent)}")
            for study in composer.choices("study") if name == "all" else [name]:
                command = shlex.join(["losslab", "study", study, *own, *overrides])
                with console.status(f"{study}: composing"):
                    planned, session = open_study(
                        composer, study, overrides, console=console, command=command
                    )
                if given.dry_run:
                    with only_reading() as unread:
                        found = planned.forecast(session)
                    told = [*found.lines(session.launcher), *not_checked(unread)]
                    write_lines(*(f"{session.name}: {line}" for line in told))
                else:
                    failed += planned.run(session)
        return failed

    return _outcome(run)


def verify(arguments: list[str]) -> int:
    """Compare a study's results with fresh seeds; 1 if something is not reproduced."""
    parser = _parser(
        "verify",
        "Run points of a study again on seeds that it did not use, and say which numbers and "
        "verdicts of its results.json they reproduce. Exit code 0: all; 1: not all; 2: wrong "
        "command.",
    )
    add = parser.add_argument
    add("words", nargs="*", help="NAME, or a study's folder; key=value as it had")
    add("--seeds", type=int, default=5, help="fresh seeds of each point (5)")
    points = "ARM[@CONDITION][:RATE],... or all; if left out, those of the claims in their order"
    add("--points", help=points)
    minutes = "how long points are added without --points (3)"
    add("--minutes", type=float, default=3, help=minutes)
    add("--results", type=Path, help="a results.json or its folder, if not that in experiments")
    add("--config-dir", help=_CONFIG_DIR)
    given = _parse(parser, arguments)
    if not given.words or "=" in given.words[0]:
        raise ValueError("name a study: losslab verify NAME; see `losslab list study`")
    _find_own_modules()
    from losslab.experiment import Composer

    name, *overrides = given.words
    console = Console()
    reproduced = True

    def run() -> "list[Failed]":
        nonlocal reproduced
        with Composer(given.config_dir) as composer:
            with console.status("composing"):
                from losslab.study.verify import verify
            points = None if given.points is None else given.points.split(",")
            verified = verify(
                composer, name, overrides, console=console, seeds=given.seeds, points=points,
                minutes=given.minutes, results=given.results,
            )  # fmt: skip
        reproduced = verified.comparison.reproduced
        return [*verified.failed]

    return _outcome(run) or (0 if reproduced else _NOT_REPRODUCED)


def report(arguments: list[str]) -> int:
    """Report on a study, a sweep or all studies."""
    parser = _parser(
        "report",
        "Report on the runs that are there, finished or not, and write the means over their seeds "
        "for TensorBoard. With --csv, --latex or --json write that table and nothing else.",
    )
    parser.add_argument("path", type=Path, nargs="?", help="of a study, a sweep or all studies")
    to = parser.add_mutually_exclusive_group()
    to.add_argument("--to", type=Path, help="write report.md, report.html, results, figures there")
    to.add_argument("--html", type=Path, help="write committed results as pages to browse there")
    for name, what in _TABLES.items():
        parser.add_argument(
            f"--{name}", metavar="FILE", nargs="?", const="-", help=f"{what}; printed without FILE"
        )
    given = _parse(parser, arguments)
    wanted = {name: getattr(given, name) for name in _TABLES if getattr(given, name) is not None}
    if given.path is None:  # --csv outputs/rates
        folders = [name for name, to in wanted.items() if Path(to).is_dir()]
        if not folders:
            raise ValueError("give the path of a study or a sweep; see `losslab report --help`")
        given.path, wanted[folders[0]] = Path(wanted[folders[0]]), "-"
    if wanted:
        if given.to is not None or given.html is not None:
            whole = "--to" if given.html is None else "--html"
            raise ValueError(f"{whole} is for whole reports; give --csv FILE, or leave {whole} out")
        return write_tables(given.path, wanted)
    from losslab import report

    if given.html:
        report.write_site(given.path, given.html, console=Console())
    else:
        report.write(given.path, console=Console(), out=given.to)
    return 0


def board(arguments: list[str]) -> int:
    """Start TensorBoard."""
    parser = _parser(
        "board",
        "Start TensorBoard on the loopback address, and print links: the answer (each loss at its "
        "chosen rate), the mechanisms, and the table of configurations. Unfinished runs update "
        "live.",
    )
    parser.add_argument("path", type=Path, nargs="?", default="outputs", help="outputs if left out")
    parser.add_argument("--port", type=int, default=6006, help="0 for any that is free")
    parser.add_argument("--open", action="store_true", help="open the answer in the browser")
    given = _parse(parser, arguments)
    return start_board(given.path, given.port, browse=given.open)


def list_choices(arguments: list[str]) -> int:
    """List config groups and their choices."""
    from losslab.experiment import Composer
    from losslab.experiment.compose import TO_ADD
    from losslab.experiment.overrides import nearest

    parser = _parser("list", "List what can be chosen.")
    parser.add_argument("group", nargs="?", help="loss, data, model, optimizer, study, ...")
    group = _parse(parser, arguments).group
    console = Console()
    with Composer() as composer:
        known = composer.groups()
        plurals = {"losses": "loss", "studies": "study"} | {f"{name}s": name for name in known}
        wanted = group if group in known else plurals.get(group, group)
        if wanted and wanted not in known:
            raise ValueError(
                f"unknown group {group!r}{nearest(group, known)}; allowed are {', '.join(known)}"
            )
        for name in [wanted] if wanted else known:
            plus = "+" if name in TO_ADD else ""
            console.print(f"[bold]{plus}{name}=[/bold]", highlight=False)
            lines = composer.descriptions(name)
            width = max(map(len, lines))
            for choice, line in lines.items():
                text = f"  {choice:{width}}  {line}"
                console.print(text, soft_wrap=True, highlight=False, markup=False)
    return 0


def data(arguments: list[str]) -> int:
    """Print the sizes of a data set's parts and classes."""
    parser = _parser(
        "data",
        "Read the data and say how many images each class and part has, and what is skipped.",
    )
    parser.add_argument("--config-dir", help=_CONFIG_DIR)
    parser.add_argument("words", nargs="*", help="CHOICE, and key=value as for losslab train")
    given = _parse(parser, arguments)
    _find_own_modules()
    from losslab.experiment import Composer, quoted
    from losslab.experiment.data import load

    words = [word if "=" in word else f"data={word}" for word in given.words]
    with Composer(given.config_dir) as composer:
        config = composer.compose([quoted(word) for word in words])
    write_lines(*(" ".join(line.splitlines()) for line in load(config.data).describe()))
    return 0


def evaluate(arguments: list[str]) -> int:
    """Evaluate a finished run's model."""
    parser = _parser(
        "evaluate",
        "Evaluate a finished run's final weights on each part of its own data, or of other data "
        "with as many classes and images of the same shape; they are normalised as in training.",
    )
    parser.add_argument("run", help="directory of a finished run, .../seed=N")
    parser.add_argument("overrides", nargs="*", help="data=..., data.KEY=..., trainer.device=...")
    parser.add_argument("--config-dir", help=_CONFIG_DIR)
    given = _parse(parser, arguments)
    _find_own_modules()
    from losslab.experiment import evaluate_run, quoted

    found = evaluate_run(given.run, [*map(quoted, given.overrides)], config_dir=given.config_dir)
    names = ("accuracy", "nll", "brier", "ece")
    lines = ["".join(f"{word:>10}" for word in ("part", "examples", *names))]
    for part, of in found.items():
        lines.append(f"{part:>10}{of['examples']:10.0f}" + "".join(f"{of[n]:10.4f}" for n in names))
    write_lines(*lines)
    return 0


def explore(arguments: list[str]) -> int:
    """Write the page that compares losses at three logits."""
    parser = _parser(
        "explore",
        "Write a page for the browser, one file that needs no network: every loss's value, "
        "gradient and curvature at three logits on sliders, side by side.",
    )
    to = Path("outputs", "explore.html")
    parser.add_argument("--to", type=Path, default=to, help=f"a file or a folder; {to} if left out")
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    given = _parse(parser, arguments)
    from losslab.experiment import Composer
    from losslab.explore import write_page

    with Composer() as composer:
        path = write_page(given.to, composer.descriptions("loss"))
    write_lines(str(path))
    if given.open:
        import webbrowser

        if not webbrowser.open(path.resolve().as_uri()):
            say(f"no browser could be started; open {path} in one")
    return 0


# In the order of their names, in which they are listed.
_ALL = (
    *(train, study, verify, report, runs, best, compare, board, list_choices),
    *(data, evaluate, explore),
)
COMMANDS: dict[str, Callable[[list[str]], int]] = dict(zip(NAMES, _ALL, strict=True))


def _find_own_modules() -> None:
    """Append the working folder to ``sys.path``, for custom modules in a configuration.

    Only for commands that build a configuration.
    """
    from hydra.core.plugins import Plugins

    Plugins.instance()  # before, as Hydra imports every plugin that it finds
    # Processes that are started with `python -m` would look there first.
    os.environ["PYTHONSAFEPATH"] = "1"
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


def _outcome(work: "Callable[[], list[Failed]]") -> int:
    """Do the work of a command, report unfinished runs, and return the exit code."""
    code = 0
    try:
        failed = work()
    except RuntimeError as error:
        from losslab.launchers import LauncherError  # with torch, which takes seconds

        if not isinstance(error, LauncherError):
            raise
        say(str(error))
        failed, code = list(error.failed), _FAILED_RUNS
    unstarted = [each for each in failed if each.run.status is None]
    for each in failed:
        if each not in unstarted[_MOST_NAMED:]:
            log = each.run.files.log
            see = f"; see {log.name} there" if log.exists() else ""
            say(f"not finished: {each.run.path} ({each.reason}){see}")
    if len(unstarted) > _MOST_NAMED:
        say(f"not finished: {len(unstarted) - _MOST_NAMED} more that did not start")
    return _FAILED_RUNS if failed else code
