"""Commands on existing runs: list, delete, rank and compare them. None imports torch."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from losslab.cli.arguments import Parser
from losslab.text import Console, duration, printable, say

if TYPE_CHECKING:
    from losslab.recording import Run
    from losslab.recording.inventory import Entry

_NOT_ALL_DELETED = 1
_BY = "a metric, such as test/nll or why/margins/margin"


def runs(arguments: list[str]) -> int:
    """List the runs in a folder: a row for each sweep and study, or for each configuration of one.

    With --delete, delete runs, configurations or whole sweeps: only what losslab made, never
    through links, and never while a process is training one of the runs.
    """
    parser = Parser("losslab runs", description=runs.__doc__)
    parser.add_argument("paths", type=Path, nargs="*", help="outputs by default")
    parser.add_argument("--delete", action="store_true", help="delete PATHS, after asking")
    parser.add_argument("--yes", action="store_true", help="delete without asking")
    options = parser.parse_intermixed_args(arguments)
    if options.yes and not options.delete:
        raise ValueError("--yes needs --delete; add it, or leave --yes out")
    if options.delete and not options.paths:
        raise ValueError("--delete needs the folder of a sweep, a configuration or a run")
    from losslab.recording.inventory import inventory

    entries = {
        entry.path: entry
        for path in options.paths or [Path("outputs")]
        for entry in inventory(path)
    }
    if options.delete:
        return _delete(options.paths, yes=options.yes)
    _show(list(entries.values()))
    return 0


def _show(entries: "list[Entry]") -> None:
    from rich.filesize import decimal
    from rich.table import Table
    from rich.text import Text

    from losslab.files import shown
    from losslab.recording.inventory import disk_usage

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("folder", overflow="fold")
    table.add_column("runs")
    for name in ("configurations", "seeds", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in entries:
        states = ", ".join(f"{n} {state}" for state, n in sorted(entry.states.items()))
        counts = str(entry.configurations), str(entry.seeds), decimal(entry.size)
        table.add_row(Text(printable(str(shown(entry.path)))), states, *counts)
    if len(entries) > 1:
        every = sum(len(entry.runs) for entry in entries)
        configurations = sum(entry.configurations for entry in entries)
        size = disk_usage(entry.path for entry in entries)  # studies share files
        table.add_row("", f"{every} runs", str(configurations), "", decimal(size), style="bold")
    console = Console()
    if not console.is_terminal:  # a line for each, for grep and awk
        console = Console(width=10_000)
    console.print(table)


def _delete(paths: list[Path], *, yes: bool) -> int:
    from rich.filesize import decimal

    from losslab.recording.inventory import delete, disk_usage, plan_deletion

    deletion = plan_deletion(paths)
    size = decimal(disk_usage([*deletion.runs, *deletion.files]))
    what = f"{len(deletion.runs)} run{'s' * (len(deletion.runs) > 1)}"
    what += f" and {len(deletion.files)} files of reports and plans" if deletion.files else ""
    if not yes:
        if not sys.stdin or not sys.stdin.isatty():
            raise ValueError(f"--delete would delete {what} ({size}); add --yes to do so")
        folders = ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")
        sys.stdout.write(printable(f"Delete {what} ({size}) in {folders}? [y/N] "))
        sys.stdout.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            sys.stdout.write("nothing was deleted\n")
            return 0
    left = delete(deletion)
    for line in left:
        say(f"left: {line}")
    sys.stdout.write(f"deleted: {what} ({size})\n" if not left else "")
    return _NOT_ALL_DELETED if left else 0


def best(arguments: list[str]) -> int:
    """Name the best configuration of a sweep, overall and for each loss, on each data set.

    The best has the best mean of a metric over finished seeds. Choose by validation, report on
    test. In a study, only the tuning seeds count.
    """
    parser = Parser("losslab best", description=best.__doc__)
    parser.add_argument("path", type=Path, help="folder of a sweep or a study")
    parser.add_argument("--by", default="val/accuracy", help=f"{_BY} (val/accuracy)")
    parser.add_argument("--direction", choices=("maximize", "minimize"), help="which value is best")
    options = parser.parse_intermixed_args(arguments)
    from losslab.files import shown
    from losslab.report.document import to_console
    from losslab.report.sweep_report import best_document, best_text, rank

    ranking = rank(options.path, by=options.by, direction=options.direction)
    for leader in ranking.leaders:
        write_lines(best_text(ranking, leader), str(shown(leader.path)))
    if len(ranking.configurations) > 1:
        write_lines("")
        to_console(best_document(ranking), Console())
    return 0


def write_lines(*lines: str) -> None:
    """Print lines without wrapping, so that paths can be copied."""
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))


def compare(arguments: list[str]) -> int:
    """Show in which settings two configurations differ, and by how much in each metric.

    Differences are means over pairs of runs with the same seed, with 95% intervals.
    """
    parser = Parser("losslab compare", description=compare.__doc__)
    for name in ("a", "b"):
        help_text = "folder of a configuration, or of one of its runs"
        parser.add_argument(name, type=Path, metavar=name.upper(), help=help_text)
    parser.add_argument("--by", help=f"{_BY}, in addition to the usual ones")
    parser.add_argument("--png", type=Path, help="file for the curves of --by or val/accuracy")
    options = parser.parse_intermixed_args(arguments)
    if options.png is not None and options.png.suffix != ".png":
        raise ValueError(f"--png {options.png}; give a file that ends in .png")
    from losslab.files import shown
    from losslab.recording import configuration_of
    from losslab.report.comparison import comparison_document, contrast, draw_contrast
    from losslab.report.document import to_console

    compared = contrast(options.a, options.b, by=options.by)
    if options.png is not None:
        draw_contrast(compared, options.png, metric=options.by or "val/accuracy")
    for name, runs in (("A", compared.left), ("B", compared.right)):
        write_lines(f"{name}: {shown(configuration_of(runs[0].path))}")
    to_console(comparison_document(compared), Console())
    if options.png is not None:
        write_lines("", f"Written: {options.png}")
    return 0


def end_of_sweep(runs: "Sequence[Run]", seconds: float) -> list[str]:
    """Return the last lines of a sweep: its best configuration, its time, what to do next."""
    from losslab.recording import run_folders
    from losslab.report.findings import sweep
    from losslab.report.sweep_report import best_text

    lines: list[str] = []
    folders = sorted({run.root for run in runs})
    for folder in folders:
        findings = sweep([run for run in runs if run.root == folder], metrics=())
        lines += [best_text(findings, leader) for leader in findings.leaders]
        if others := len({*run_folders(folder)} - {run.path for run in runs}):
            lines.append(
                f"Pooled: {folder} also holds {others} other runs, which report and board "
                "pool with these; name=NAME gives a sweep its own folder"
            )
    lines.append(f"Time: {duration(seconds)}")
    for command in ("report", "board"):
        lines += [f"Next: losslab {command} {shlex.quote(str(folder))}" for folder in folders]
    return lines


def write_tables(path: Path, files: Mapping[str, str]) -> int:
    """Export a sweep or a study; ``files`` maps formats to files, ``-`` for standard output."""
    if list(files.values()).count("-") > 1:
        raise ValueError(f"--{' and --'.join(files)}: give each a file, as in --csv rates.csv")
    from losslab import report
    from losslab.files import write_atomically
    from losslab.report.exports import FORMATS, export

    (path, *others) = report.studies_and_sweeps(path) or [path]
    if others:
        names = ", ".join(map(str, [path, *others][:3])) + (", ..." if len(others) > 2 else "")
        raise ValueError(f"there are several studies or sweeps; give one of them: {names}")
    for target in (Path(file) for file in files.values() if file != "-"):
        if target.is_dir() or not target.absolute().parent.is_dir():
            raise ValueError(f"{target} cannot be written; give a file in an existing folder")
    targets = [Path(file).resolve() for file in files.values() if file != "-"]
    if len(set(targets)) < len(targets):
        raise ValueError(f"--{' and --'.join(files)} name the same file; give each its own")
    exported = export(path)
    texts = {file: FORMATS[name](exported) for name, file in files.items()}
    for file, text in texts.items():
        if file == "-":
            sys.stdout.write(printable(text))
        else:
            write_atomically(Path(file), text)
            write_lines(f"Written: {file}")
    return 0
