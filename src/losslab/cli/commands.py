"""The commands: each parses its arguments, does its work and returns the exit code.

The docstring of a command is what its ``--help`` says. Slow imports are inside the commands.
"""

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from losslab.cli.arguments import Parser
from losslab.cli.board import start_board
from losslab.cli.completion import COMMANDS as NAMES
from losslab.cli.sweeps import best, compare, end_of_sweep, runs, write_lines, write_tables
from losslab.text import Console, nearest, printable, say

if TYPE_CHECKING:
    from losslab.launchers import Failed

_FAILED_RUNS = 1
_NOT_REPRODUCED = 1
_MOST_NAMED = 3  # runs that did not even start; more are counted
_DRY_RUN = "say how many runs there are, how many are done, how long the rest takes; write nothing"
_FLAGS_OF_STUDY = ("--config-dir", "--dry-run", "-h", "--help")
_TABLES = {
    "csv": "every configuration with its means and intervals as CSV",
    "latex": "the same as a LaTeX table",
    "json": "the content of results.json",
}
_EXAMPLES = Path(__file__).with_name("examples.txt")
_CONFIG_DIR = "a folder with more choices and the code they name"


def train(arguments: list[str]) -> int:
    """Train one run, or with ``-m`` a sweep."""
    _find_own_modules()
    from losslab.experiment.hydra_app import check_flags, only_prints, print_with_hydra
    from losslab.experiment.hydra_private import flags

    parser = Parser("losslab train", parents=[flags()], add_help=False)
    parser.add_argument("--dry-run", action="store_true", help=_DRY_RUN)
    options = parser.parse_intermixed_args(arguments)
    check_flags(options)
    if only_prints(options):
        examples = _EXAMPLES.read_text("utf-8") if options.help else ""
        print_with_hydra(options, arguments, first=examples)
        return 0
    from losslab.launchers import outcome
    from losslab.sweepers.train import forecast, train

    if options.dry_run:
        write_lines(*forecast(options))
        return 0
    began = time.monotonic()
    with _reporting_failures() as failed:
        runs = train(options)
        if options.multirun:
            write_lines(*end_of_sweep(runs, time.monotonic() - began))
        failed += outcome(runs)
    return 0


def study(arguments: list[str]) -> int:
    """Run what is missing of a study on all cores, then report.

    `losslab study NAME --help` says what it asks, its arms, runs, sizes and time.
    """
    for text in arguments:
        if text.startswith("-") and not text.startswith(_FLAGS_OF_STUDY):
            raise ValueError(
                f"{text}: losslab study takes key=value, --dry-run and --config-dir DIR; other "
                "flags are for losslab train"
            )
    parser = Parser("losslab study", description=study.__doc__, add_help=False)
    parser.add_argument("-h", "--help", action="store_true", help="show this help message and exit")
    parser.add_argument("--config-dir", help=_CONFIG_DIR)
    parser.add_argument("--dry-run", action="store_true", help=_DRY_RUN)
    parser.add_argument("words", nargs="*", help="NAME or all, and key=value for every run")
    options = parser.parse_intermixed_args(arguments)
    if options.help and options.words in ([], ["all"]):
        parser.print_help()
        return 0
    name, overrides = _study_and_overrides(parser, options.words)
    _find_own_modules()
    from losslab.experiment import Composer
    from losslab.study.outline import only_in_repository, outline

    console = Console()
    config_dir = [] if options.config_dir is None else ["--config-dir", options.config_dir]
    with _reporting_failures() as failed, Composer(options.config_dir) as composer:
        if options.help:
            sys.stdout.write(printable(outline(composer, name, overrides)))
            return 0
        if name == "all" and (absent := only_in_repository(composer)):
            say(f"left out, because only losslab's repository has them: {', '.join(absent)}")
        known = composer.choices("study")
        names = known if name == "all" else [name]
        for name in names:
            said = name in known and not options.dry_run
            with _planning(f"{name}: planning its runs", console, in_log=said):
                from losslab.data.cache import only_reading
                from losslab.study import execution
                from losslab.study.session import open_study
                from losslab.sweepers.train import not_checked

                command = shlex.join(["losslab", "study", name, *config_dir, *overrides])
                planned, session = open_study(
                    composer, name, overrides, console=console, command=command
                )
            if options.dry_run:
                with only_reading() as unread:
                    forecast = execution.forecast(planned, session)
                lines = [*forecast.lines(session.launcher), *not_checked(unread)]
                write_lines(*(f"{session.name}: {line}" for line in lines))
            else:
                failed += execution.run(planned, session)
    return 0


@contextmanager
def _planning(text: str, console: Console, *, in_log: bool) -> Iterator[None]:
    """Show a spinner, or print a line in a log, during seconds of planning and importing torch."""
    if in_log and not console.is_terminal and "torch" not in sys.modules:
        console.print(text)
    with console.status(text):
        yield


def verify(arguments: list[str]) -> int:
    """Rerun points of a study on fresh seeds.

    Say which numbers and verdicts of its results.json they reproduce. Exit code 0: all; 1: not all;
    2: invalid command.
    """
    parser = Parser("losslab verify", description=verify.__doc__)
    add = parser.add_argument
    add("words", nargs="*", help="NAME, or a study's folder; key=value as in its run")
    add("--seeds", type=int, default=5, help="number of fresh seeds for each point (5)")
    add(
        "--points",
        help="ARM[@CONDITION][:RATE],... or all; by default those of the claims, in their order",
    )
    without_points = "how many minutes to keep adding points without --points (3)"
    add("--minutes", type=float, default=3, help=without_points)
    add("--results", type=Path, help="a results.json or its folder, if not the one in experiments")
    add("--config-dir", help=_CONFIG_DIR)
    options = parser.parse_intermixed_args(arguments)
    name, overrides = _study_and_overrides(parser, options.words)
    _find_own_modules()
    from losslab.experiment import Composer

    console = Console()
    with _reporting_failures() as failed, Composer(options.config_dir) as composer:
        known = name in composer.choices("study")
        with _planning(f"verify/{name}: planning its runs", console, in_log=known):
            from losslab.study.verify import verify as verify_study
        points = None if options.points is None else options.points.split(",")
        verified = verify_study(
            composer, name, overrides, console=console, seeds=options.seeds, points=points,
            minutes=options.minutes, results=options.results,
        )  # fmt: skip
        failed += verified.failed
    return 0 if verified.comparison.reproduced else _NOT_REPRODUCED


def report(arguments: list[str]) -> int:
    """Report on the runs of a study, a sweep or all studies, finished or not.

    Also write means over seeds for TensorBoard. With --csv, --latex or --json, write only that
    table.
    """
    parser = Parser("losslab report", description=report.__doc__)
    parser.add_argument(
        "path", type=Path, nargs="?", help="folder of one or all studies, or a sweep"
    )
    to = parser.add_mutually_exclusive_group()
    to.add_argument("--to", type=Path, help="folder to write report.md, report.html and more to")
    to.add_argument("--html", type=Path, help="folder to write a site of the committed results to")
    for name, what in _TABLES.items():
        parser.add_argument(
            f"--{name}", metavar="FILE", nargs="?", const="-", help=f"{what}; printed without FILE"
        )
    options = parser.parse_intermixed_args(arguments)
    path, every = options.path, {name: getattr(options, name) for name in _TABLES}
    files: dict[str, str] = {name: file for name, file in every.items() if file is not None}
    if path is None:  # --csv outputs/rates
        folders = [name for name, file in files.items() if Path(file).is_dir()]
        if not folders:
            raise ValueError("give the path of a study or a sweep; see `losslab report --help`")
        path, files[folders[0]] = Path(files[folders[0]]), "-"
    if files:
        if options.to is not None or options.html is not None:
            flag = "--to" if options.html is None else "--html"
            raise ValueError(f"{flag} is for whole reports; give --csv FILE, or leave {flag} out")
        return write_tables(path, files)
    from losslab.report import write, write_site

    if options.html:
        write_site(path, options.html, console=Console())
    else:
        write(path, console=Console(), out=options.to)
    return 0


def board(arguments: list[str]) -> int:
    """Start TensorBoard on 127.0.0.1, and print links.

    They open the answer (each loss at its chosen rate), the mechanisms, and the table of
    configurations. Unfinished runs update live.
    """
    parser = Parser("losslab board", description=board.__doc__)
    parser.add_argument("path", type=Path, nargs="?", default="outputs", help="outputs by default")
    parser.add_argument("--port", type=int, default=6006, help="0 for any free port")
    parser.add_argument("--open", action="store_true", help="open the answer in the browser")
    options = parser.parse_intermixed_args(arguments)
    return start_board(options.path, options.port, browse=options.open)


def list_choices(arguments: list[str]) -> int:
    """List the choices of each group."""
    from losslab.experiment import Composer
    from losslab.experiment.compose import OPTIONAL_GROUPS

    parser = Parser("losslab list", description=list_choices.__doc__)
    parser.add_argument("group", nargs="?", help="loss, data, model, optimizer, study, ...")
    parser.add_argument("--config-dir", help=_CONFIG_DIR)
    options = parser.parse_intermixed_args(arguments)
    group = options.group
    console = Console()
    with Composer(options.config_dir) as composer:
        groups = composer.groups()
        plurals = {"losses": "loss", "studies": "study"} | {f"{name}s": name for name in groups}
        singular = group if group in groups else plurals.get(group, group)
        if singular and singular not in groups:
            raise ValueError(
                f"unknown group {group!r}{nearest(group, groups)}; allowed are {', '.join(groups)}"
            )
        for name in [singular] if singular else groups:
            plus = "+" if name in OPTIONAL_GROUPS else ""
            console.print(f"[bold]{plus}{name}=[/bold]", highlight=False)
            descriptions = composer.descriptions(name)
            width = max(map(len, descriptions))
            for choice, description in descriptions.items():
                line = f"  {choice:{width}}  {description}"
                console.print(line, soft_wrap=True, highlight=False, markup=False)
    return 0


def data(arguments: list[str]) -> int:
    """Read the data; print the images per class and part, and which files are skipped."""
    parser = Parser("losslab data", description=data.__doc__)
    parser.add_argument("--config-dir", help=_CONFIG_DIR)
    parser.add_argument("words", nargs="*", help="CHOICE, and key=value as for losslab train")
    options = parser.parse_intermixed_args(arguments)
    _find_own_modules()
    from losslab.experiment import Composer, quoted
    from losslab.experiment.data import load

    overrides = [quoted(word if "=" in word else f"data={word}") for word in options.words]
    with Composer(options.config_dir) as composer:
        config = composer.compose(overrides)
    write_lines(*(" ".join(line.splitlines()) for line in load(config.data).describe()))
    return 0


def evaluate(arguments: list[str]) -> int:
    """Evaluate a finished run's final weights on each part of its own data, or of other data.

    Other data need the same number of classes and images of the same shape; they are normalised
    as in training.
    """
    parser = Parser("losslab evaluate", description=evaluate.__doc__)
    parser.add_argument("run", help="directory of a finished run, .../seed=N")
    parser.add_argument("overrides", nargs="*", help="data=..., data.KEY=..., trainer.device=...")
    parser.add_argument("--config-dir", help=_CONFIG_DIR)
    options = parser.parse_intermixed_args(arguments)
    _find_own_modules()
    from losslab.experiment import evaluate_run, quoted

    overrides = [quoted(text) for text in options.overrides]
    metrics = ("accuracy", "nll", "brier", "ece")
    lines = ["".join(f"{word:>10}" for word in ("part", "examples", *metrics))]
    parts = evaluate_run(options.run, overrides, config_dir=options.config_dir)
    for part, scalars in parts.items():
        values = "".join(f"{scalars[metric]:10.4f}" for metric in metrics)
        lines.append(f"{part:>10}{scalars['examples']:10.0f}{values}")
    write_lines(*lines)
    return 0


def explore(arguments: list[str]) -> int:
    """Write an interactive HTML page, one file that works offline.

    It compares every loss's value, gradient and curvature at three logits, which sliders set.
    """
    parser = Parser("losslab explore", description=explore.__doc__)
    to = Path("outputs", "explore.html")
    parser.add_argument("--to", type=Path, default=to, help=f"a file or a folder; {to} by default")
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    options = parser.parse_intermixed_args(arguments)
    from losslab.experiment import Composer
    from losslab.explore import write_page

    with Composer() as composer:
        path = write_page(options.to, composer.descriptions("loss"))
    write_lines(str(path))
    if options.open:
        import webbrowser

        if not webbrowser.open(path.resolve().as_uri()):
            say(f"no browser could be started; open {path} yourself")
    return 0


_FUNCTIONS = (
    *(train, study, verify, report, runs, best, compare, board, list_choices),
    *(data, evaluate, explore),
)
COMMANDS: dict[str, Callable[[list[str]], int]] = dict(zip(NAMES, _FUNCTIONS, strict=True))


def _study_and_overrides(parser: Parser, words: list[str]) -> tuple[str, list[str]]:
    if not words or "=" in words[0]:
        raise ValueError(f"name a study: {parser.prog} NAME; see `losslab list study`")
    return words[0], words[1:]


def _find_own_modules() -> None:
    """Append the working folder to ``sys.path``, for custom modules in a configuration.

    Only for commands that build a configuration.
    """
    from hydra.core.plugins import Plugins

    Plugins.instance()  # before, as Hydra imports every plugin that it finds
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


@contextmanager
def _reporting_failures() -> "Iterator[list[Failed]]":
    """Yield a list for the runs that are not finished; name them at the end, and exit with 1."""
    failed: list[Failed] = []
    lost_workers = False
    try:
        yield failed
    except RuntimeError as error:
        from losslab.launchers import LauncherError  # with torch, which takes seconds

        if not isinstance(error, LauncherError):
            raise
        say(str(error))
        failed, lost_workers = list(error.failed), True
    unstarted = [failure for failure in failed if failure.run.status is None]
    for failure in failed:
        if failure not in unstarted[_MOST_NAMED:]:
            log = failure.run.files.log
            see = f"; see {log.name} there" if log.exists() else ""
            say(f"not finished: {failure.run.path} ({failure.reason}){see}")
    if len(unstarted) > _MOST_NAMED:
        say(f"not finished: {len(unstarted) - _MOST_NAMED} more that did not start")
    if failed or lost_workers:
        raise SystemExit(_FAILED_RUNS)
