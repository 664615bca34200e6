"""The commands."""

import argparse
import contextlib
import difflib
import io
import os
import resource
import shlex
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import losslab
from losslab.stopping import terminated_as_interrupted
from losslab.text import Console, printable

if TYPE_CHECKING:
    from losslab.study import Failed

BAD_INPUT = 2
FAILED_RUNS = 1
INTERRUPTED = 130
TERMINATED = 143
_NAMED = 3  # runs that did not even start; more are counted
_FILES_BESIDE = 256  # what TensorBoard itself and its readers have open
_KEPT = "; finished runs are kept, and the same command goes on from here"
_HELP = ("-h", "--help", "help")

USAGE = """\
losslab: why does squared error underperform cross-entropy for classification?

  losslab study NAME [overrides]   run a study's grid over all cores, then report;
                                   --config-dir DIR for studies and losses of your own,
                                   with the Python code that lies there
  losslab study all                every study
  losslab train [overrides]        one run; with -m a Hydra sweep; every Hydra flag works
  losslab report PATH [--to DIR]   tables, claims and figures of the runs that are there
  losslab evaluate RUN [data=...]  a finished run's model on its own or other data
  losslab board [PATH] [--port N]  TensorBoard on 127.0.0.1
  losslab list [GROUP]             what can be chosen: loss, data, model, study, ...
  losslab data [CHOICE] [overrides]  what is read: images per class and part, what is skipped

  losslab study why_squared_error
  losslab train loss=mse optimizer.lr=0.3
  losslab train -m loss=cross_entropy,mse optimizer.lr=0.01,0.1 seed=0,1,2
"""


def main() -> None:
    """Run the command line; exit 0, 1 (runs failed), 2 (bad input), 130 or 143 (stopped)."""
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"  # before Hydra is told so
    code = INTERRUPTED
    with terminated_as_interrupted() as asked:
        try:
            code = _run(sys.argv[1:])
            sys.stdout.flush()
        except KeyboardInterrupt:
            pass
        except SystemExit as end:  # of --help
            code = int(end.code or 0)
        except Exception as error:
            # Where a signal was the cause, whatever a library made of it.
            if not asked and not isinstance(error, ValueError | OSError | MemoryError):
                raise
            if full_error:
                traceback.print_exc()
            if not asked:
                _say(str(error) or type(error).__name__)
            code = BAD_INPUT
        if asked or code == INTERRUPTED:
            runs = sys.argv[1:2] in (["train"], ["study"])
            _say(f"stopped{_KEPT if runs else ''}")
            code = TERMINATED if asked and asked[0] == signal.SIGTERM else INTERRUPTED
        try:
            sys.stdout.flush()
        except OSError:  # said already; Python itself would say it again at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(code)


def _run(arguments: list[str]) -> int:
    for text in arguments:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{os.fsencode(text).decode(errors='replace')} cannot be read as text in "
                f"{sys.getfilesystemencoding()}; set PYTHONUTF8=1, or a locale with UTF-8"
            ) from None
    if not arguments or arguments[0] in _HELP:
        sys.stdout.write(USAGE)
        return 0 if arguments else BAD_INPUT
    if arguments[0] == "--version":
        sys.stdout.write(f"losslab {losslab.__version__}\n")
        return 0
    return _command(arguments[0])(arguments[1:])


def _command(name: str) -> Callable[[list[str]], int]:
    if name in ("-sc", "--shell-completion"):
        return _complete
    if name not in _COMMANDS:
        meant = difflib.get_close_matches(name, _COMMANDS, n=1)
        nearest = f" (did you mean {meant[0]!r}?)" if meant else ""
        raise ValueError(f"unknown command {name!r}{nearest}; allowed are {', '.join(_COMMANDS)}")
    return _COMMANDS[name]


def _say(text: str) -> None:
    line = printable(" ".join(text.split()))  # one, whatever an error says
    sys.stderr.write(f"losslab: {line}\n")


def _parse(
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


def _find_own_modules() -> None:
    """Let a configuration name modules in the working folder, last of all places.

    Only where something is trained: what only looks, runs nothing that lies there.
    """
    from hydra.core.plugins import Plugins

    Plugins.instance()  # before, as Hydra imports every plugin that it finds
    # Processes that are started with `python -m` would look there first.
    os.environ["PYTHONSAFEPATH"] = "1"
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


def _train(arguments: list[str]) -> int:
    _find_own_modules()
    from losslab.experiment.hydra_private import flags
    from losslab.study.train import train

    parser = flags()
    parser.prog = "losslab train"
    given = _parse(parser, arguments, mixed=True)
    # Hydra does not go on reading overrides after a flag that follows some.
    flags_first = list(arguments)
    for override in given.overrides:
        flags_first.remove(override)
    return _outcome(lambda: train(given, [*flags_first, *given.overrides]))


def _complete(arguments: list[str]) -> int:
    """Answer the shell when TAB is pressed; Hydra knows what follows ``losslab train``."""
    if "COMP_LINE" in os.environ:
        program, *words = os.environ["COMP_LINE"].split(" ")
        if len(words) < 2:
            sys.stdout.write(" ".join(_COMMANDS) + "\n")
        if len(words) < 2 or words[0] != "train":
            return 0
        os.environ["COMP_LINE"] = " ".join([program, *words[1:]])
    return _train(["-sc", *arguments])


def _study(arguments: list[str]) -> int:
    if set(arguments) & set(_HELP):
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
    parser = _parser("study", "Run a study, then report.")
    parser.add_argument("--config-dir", help="a folder with more choices and the code they name")
    parser.add_argument("words", nargs="*")
    given = _parse(parser, arguments, mixed=True)
    if not given.words or "=" in given.words[0]:
        raise ValueError("name a study: losslab study NAME; see `losslab list study`")
    _find_own_modules()
    from losslab.experiment import Composer
    from losslab.study import only_in_repository, run_study, studies

    name, *overrides = given.words
    own = [] if given.config_dir is None else ["--config-dir", given.config_dir]

    def run() -> "list[Failed]":
        failed = []
        with Composer(given.config_dir) as composer:
            if name == "all" and (absent := only_in_repository(composer)):
                _say(f"left out, as only losslab's repository has them: {', '.join(absent)}")
            for study in studies(composer) if name == "all" else [name]:
                command = shlex.join(["losslab", "study", study, *own, *overrides])
                failed += run_study(composer, study, overrides, console=Console(), command=command)
        return failed

    return _outcome(run)


def _outcome(work: "Callable[[], list[Failed]]") -> int:
    from losslab.study import LauncherError

    code = 0
    try:
        failed = work()
    except LauncherError as error:
        _say(str(error))
        failed, code = list(error.failed), FAILED_RUNS
    unstarted = [each for each in failed if each.run.status is None]
    named = unstarted[:_NAMED]
    for each in failed:
        if each in unstarted and each not in named:
            continue
        log = each.run.files.log
        see = f"; see {log.name} there" if log.exists() else ""
        _say(f"not finished: {each.run.path} ({each.reason}){see}")
    if len(unstarted) > len(named):
        _say(f"not finished: {len(unstarted) - len(named)} more that did not start")
    return FAILED_RUNS if failed else code


def _report(arguments: list[str]) -> int:
    from losslab import report

    parser = _parser(
        "report",
        "Report on the runs that are there, finished or not, and write the means over their seeds "
        "for TensorBoard.",
    )
    parser.add_argument("path", type=Path, help="of a study, a sweep or all studies")
    parser.add_argument("--to", type=Path, help="write report.md, results.json, figures there")
    given = _parse(parser, arguments)
    report.write(given.path, console=Console(), out=given.to)
    return 0


def _evaluate(arguments: list[str]) -> int:
    from losslab.experiment import evaluate_run, quoted

    parser = _parser(
        "evaluate",
        "Evaluate a finished run's final weights on each part of its own data, or of other data "
        "with as many classes and images of the same shape; they are normalised as in training.",
    )
    parser.add_argument("run", help="directory of a finished run, .../seed=N")
    parser.add_argument("overrides", nargs="*", help="data=..., data.KEY=..., trainer.device=...")
    parser.add_argument("--config-dir", help="a folder with more choices")
    given = _parse(parser, arguments, mixed=True)
    found = evaluate_run(given.run, [*map(quoted, given.overrides)], config_dir=given.config_dir)
    names = ("accuracy", "nll", "brier", "ece")
    lines = ["".join(f"{word:>10}" for word in ("part", "examples", *names))]
    for part, of in found.items():
        lines.append(f"{part:>10}{of['examples']:10.0f}" + "".join(f"{of[n]:10.4f}" for n in names))
    sys.stdout.write("\n".join([*lines, ""]))
    return 0


def _board(arguments: list[str]) -> int:
    parser = _parser(
        "board",
        "Start TensorBoard on the loopback address: scalars, histograms, one row a configuration "
        "in HParams, and after a report means over seeds and images. Runs under way grow live.",
    )
    parser.add_argument(
        "path", type=Path, nargs="?", default=Path("outputs"), help="with runs; outputs by default"
    )
    parser.add_argument("--port", type=int, default=6006, help="0 for any that is free")
    given = _parse(parser, arguments)
    if not given.path.is_dir():
        raise ValueError(f"{given.path} is no folder; give one with runs, e.g. outputs")
    _check_port(given.port)
    _allow_files(given.path)
    from tensorboard import default, program

    board = program.TensorBoard(plugins=default.get_plugins())
    # It has no authentication, so it listens to this machine alone; a run under way shows up
    # because files that grow are read on.
    board.configure(
        [
            *("tensorboard", "--logdir", str(given.path), "--host", "127.0.0.1"),
            *("--port", str(given.port), "--reload_interval", "5", "--reload_multifile", "true"),
            # Of each image it would keep ten; a long run has more.
            *("--samples_per_plugin", "images=100", "--window_title", "losslab"),
        ]
    )
    return int(board.main())


def _allow_files(folder: Path) -> None:
    """Let TensorBoard open every event file at once, as it does; say so where it cannot."""
    files = [Path(above, name) for above, _, names in os.walk(folder)
             for name in names if "tfevents" in name]  # fmt: skip
    for file in files:
        if not file.is_file():
            raise ValueError(f"{file} is no regular file, and TensorBoard would wait; remove it")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = len(files) + _FILES_BESIDE
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        _say(
            f"{len(files)} event files, of which this system lets TensorBoard open about "
            f"{max(allowed - _FILES_BESIDE, 0)}; raise the limit with `ulimit -Hn {wanted}` as an "
            "administrator, or give a folder with fewer runs"
        )


def _check_port(port: int) -> None:
    """Take the port and give it back: TensorBoard would say what is wrong in many lines."""
    if not 0 <= port < 2**16:
        raise ValueError(f"--port={port}; give a number from 0 to {2**16 - 1}")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", port))
        except OSError as error:
            raise ValueError(
                f"port {port} is unavailable ({error.strerror}); give another with --port"
            ) from error


def _list(arguments: list[str]) -> int:
    from losslab.experiment import Composer
    from losslab.experiment.describe import describe, groups
    from losslab.experiment.overrides import nearest

    parser = _parser("list", "List what can be chosen.")
    parser.add_argument("group", nargs="?", help="loss, data, model, optimizer, study, ...")
    given = _parse(parser, arguments)
    console = Console()
    with Composer() as composer:
        known = groups(composer)
        wanted = given.group and {"losses": "loss", "studies": "study"}.get(
            given.group, given.group if given.group in known else given.group.removesuffix("s")
        )
        if wanted and wanted not in known:
            raise ValueError(
                f"unknown group {given.group!r}{nearest(given.group, known)}; allowed are "
                f"{', '.join(known)}"
            )
        for group in [wanted] if wanted else known:
            console.print(f"[bold]{group}=[/bold]", highlight=False)
            lines = describe(composer, group)
            width = max(map(len, lines))
            for choice, line in lines.items():
                text = f"  {choice:{width}}  {line}"
                console.print(text, soft_wrap=True, highlight=False, markup=False)
    return 0


def _data(arguments: list[str]) -> int:
    from losslab.experiment import Composer, quoted
    from losslab.experiment.data import load

    parser = _parser("data", "Read the data; tell the images per class and part, and the rest.")
    parser.add_argument("--config-dir", help="a folder with more choices")
    parser.add_argument("words", nargs="*", help="CHOICE, and key=value as for losslab train")
    given = _parse(parser, arguments, mixed=True)
    words = [word if "=" in word else f"data={word}" for word in given.words]
    with Composer(given.config_dir) as composer:
        config = composer.compose([quoted(word) for word in words])
    sys.stdout.write("\n".join(load(config.data).describe()) + "\n")
    return 0


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"losslab {name}", description=description)


_COMMANDS = {
    "train": _train,
    "study": _study,
    "report": _report,
    "board": _board,
    "list": _list,
    "data": _data,
    "evaluate": _evaluate,
}
