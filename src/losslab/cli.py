"""The commands."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from losslab.study import Failed

BAD_INPUT = 2
FAILED_RUNS = 1
INTERRUPTED = 130

USAGE = """\
losslab: why does squared error underperform cross-entropy for classification?

  losslab study NAME [overrides]   run a study's grid over all cores, then report
  losslab study all                every study
  losslab train [overrides]        one run; with -m a Hydra sweep; every Hydra flag works
  losslab report PATH [--to DIR]   tables, claims and figures of the runs that are there
  losslab board [PATH] [--port N]  TensorBoard on 127.0.0.1
  losslab list [GROUP]             what can be chosen: loss, data, model, study, ...

  losslab study why_squared_error
  losslab train loss=mse optimizer.lr=0.3
  losslab train -m loss=cross_entropy,mse optimizer.lr=0.01,0.1 seed=0,1,2
"""


def main() -> None:
    """Run the command line; exit 0, 1 (runs failed), 2 (bad input) or 130 (interrupted)."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        raise SystemExit(0 if arguments else BAD_INPUT)
    commands: dict[str, Callable[[list[str]], int]] = {
        "train": _train,
        "study": _study,
        "report": _report,
        "board": _board,
        "list": _list,
    }
    name, rest = arguments[0], arguments[1:]
    # A loss of one's own lies beside one's command, where `python -m` would find it.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        if name not in commands:
            raise ValueError(f"unknown command {name!r}; allowed are {', '.join(commands)}")
        code = commands[name](rest)
    except KeyboardInterrupt:
        _say("stopped; finished runs are kept, and the same command goes on from here")
        code = INTERRUPTED
    except (ValueError, OSError) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        _say(" ".join(str(error).split()))
        code = BAD_INPUT
    raise SystemExit(code)


def _say(text: str) -> None:
    sys.stderr.write(f"losslab: {text}\n")


def _train(arguments: list[str]) -> int:
    from losslab.study.train import train

    return _failures(train(arguments))


def _study(arguments: list[str]) -> int:
    if not arguments or "=" in arguments[0] or arguments[0].startswith("-"):
        raise ValueError("name a study: losslab study NAME; see `losslab list study`")
    from losslab.experiment import Composer
    from losslab.study import run_study, studies

    name, overrides = arguments[0], arguments[1:]
    failed = []
    with Composer() as composer:
        for study in studies(composer) if name == "all" else [name]:
            failed += run_study(
                composer,
                study,
                overrides,
                console=Console(),
                command=" ".join(["losslab", "study", study, *overrides]),
            )
    return _failures(failed)


def _failures(failed: "list[Failed]") -> int:
    for run in failed:
        _say(
            f"not finished: {run.directory.path} ({run.reason}); see {run.directory.log.name} there"
        )
    return FAILED_RUNS if failed else 0


def _report(arguments: list[str]) -> int:
    from losslab import report

    parser = _parser("report", "Report on the runs that are there, finished or not.")
    parser.add_argument("path", type=Path, help="of a study, a sweep or all studies")
    parser.add_argument("--to", type=Path, help="write report.md, results.json, figures there")
    given = parser.parse_args(arguments)
    report.write(given.path, console=Console(), out=given.to)
    return 0


def _board(arguments: list[str]) -> int:
    parser = _parser("board", "Start TensorBoard on the loopback address.")
    parser.add_argument("path", type=Path, nargs="?", default=Path("outputs"))
    parser.add_argument("--port", type=int, default=6006)
    given = parser.parse_args(arguments)
    if not given.path.is_dir():
        raise ValueError(f"{given.path} is no folder; give one with runs, e.g. outputs")
    # It has no authentication, so it listens to this machine alone; a run under way shows up
    # because files that grow are read on.
    os.execv(
        sys.executable,
        [
            sys.executable,
            *("-m", "tensorboard.main", "--logdir", str(given.path), "--host", "127.0.0.1"),
            *("--port", str(given.port), "--reload_interval", "5", "--reload_multifile", "true"),
        ],
    )


def _list(arguments: list[str]) -> int:
    from losslab.experiment import Composer
    from losslab.experiment.describe import describe, groups

    parser = _parser("list", "List what can be chosen.")
    parser.add_argument("group", nargs="?", help="loss, data, model, optimizer, study, ...")
    given = parser.parse_args(arguments)
    console = Console()
    with Composer() as composer:
        known = groups(composer)
        wanted = given.group and {"losses": "loss", "studies": "study"}.get(
            given.group, given.group if given.group in known else given.group.removesuffix("s")
        )
        if wanted and wanted not in known:
            raise ValueError(f"unknown group {given.group!r}; allowed are {', '.join(known)}")
        for group in [wanted] if wanted else known:
            table = Table(title=f"{group}=", title_justify="left", box=None, show_header=False)
            for choice, line in describe(composer, group).items():
                table.add_row(f"  {choice}", line)
            console.print(table)
    return 0


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"losslab {name}", description=description)
