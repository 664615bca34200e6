"""List and delete the runs in a folder. Quick, as it reads no results.

Only deletes what losslab made; never follows links or deletes a run that a process is training.
"""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from losslab.files import LOCK_FILE, is_generated, lock, read_json, shown
from losslab.recording.placement import configuration_of, run_folders, sweep_of
from losslab.recording.run import Files, Run

# Files that losslab writes into the directory of a run, and of a sweep or study besides reports.
_MADE = re.compile(r"events\.out\.tfevents\.\d+\..+\.\d+|\.[0-9a-f]{16}\.[0-9a-f]{16}\.tmp")
_JOURNAL = "optuna.journal"
_OF_A_SWEEP = ("study.json", "evidence.json", "search.json", _JOURNAL)
_REPORT_FORMATS = (".md", ".json", ".html", ".png", ".over_seeds")


@dataclass(frozen=True)
class Entry:
    """A sweep or study, or a configuration."""

    path: Path  # its folder
    runs: tuple[Path, ...]  # their directories
    states: Counter[str]  # ``done``, ``diverged``, ``failed``, ``running``, ``interrupted``, ...
    configurations: int
    seeds: int  # distinct ones
    size: int  # bytes on the disk


def inventory(path: Path) -> list[Entry]:
    """Return the sweeps and studies below a folder, or the configurations of one."""
    path = _absolute(path)
    runs = _runs_below(path)
    several = any(sweep_of(run) not in (path, *path.parents) for run in runs)
    folder_of = sweep_of if several else configuration_of
    entries: dict[Path, list[Path]] = {}
    for run in runs:
        entries.setdefault(folder_of(run), []).append(run)
    return [
        Entry(
            path=folder,
            runs=tuple(members),
            states=Counter(map(state, members)),
            configurations=len({configuration_of(run) for run in members}),
            seeds=len({run.name for run in members}),
            # If the path is a single run, without other seeds.
            size=disk_usage([folder] if folder.is_relative_to(path) else members),
        )
        for folder, members in sorted(entries.items())
    ]


def state(path: Path) -> str:
    """Return a run's status; ``interrupted`` if it is ``running`` without a process."""
    run = Run.at(path)
    status = run.status
    return "interrupted" if status == "running" and not run.held else status or "damaged"


def disk_usage(paths: Iterable[Path]) -> int:
    """Return the disk usage of files and folders in bytes, counting each file once."""
    sizes = {}
    for path in paths:
        places = [os.fspath(path)]
        for folder, below, names in os.walk(path):
            places += [os.path.join(folder, name) for name in (*below, *names)]  # noqa: PTH118
        for place in places:
            with suppress(FileNotFoundError):  # runs in progress replace files
                status = os.lstat(place)
                sizes[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(sizes.values())


@dataclass(frozen=True)
class Deletion:
    """A planned deletion."""

    runs: tuple[Path, ...]  # their directories
    files: tuple[Path, ...]  # reports and plans of whole sweeps and studies
    left: tuple[str, ...]  # folders that only look like runs, with reasons


def plan_deletion(paths: Sequence[Path]) -> Deletion:
    """Plan the deletion of runs, configurations or whole sweeps; reject links and held runs."""
    runs: dict[Path, None] = {}
    files: dict[Path, None] = {}
    left: dict[str, None] = {}
    for path in paths:
        if path.is_symlink():
            raise ValueError(f"{path} is a symbolic link; give the folder itself")
        path = _absolute(path)
        own = []
        for run in _runs_below(path):
            if run.is_symlink():
                left[f"{shown(run)} is a symbolic link"] = None
            elif not _is_run(run):
                left[f"{shown(run)} is not a run that losslab made"] = None
            else:
                own.append(run)
        if not own:
            raise ValueError(f"{shown(path)} holds no runs that losslab made")
        runs |= dict.fromkeys(own)
        for sweep in {sweep_of(run) for run in own}:
            if sweep.is_relative_to(path):
                files |= dict.fromkeys(_files_of_a_sweep(sweep))
    for run in runs:
        if Run.at(run).held:
            raise ValueError(f"{shown(run)} is being run by another process; nothing was deleted")
    for journal in (file for file in files if file.name == _JOURNAL):
        with lock(journal) as free:
            if not free:
                where = shown(journal.parent)
                raise ValueError(f"a search is under way in {where}; nothing was deleted")
    return Deletion(tuple(runs), tuple(files), tuple(left))


def delete(deletion: Deletion) -> list[str]:
    """Delete; return one line for each thing that was not deleted."""
    left, sweeps = list(deletion.left), {sweep_of(run) for run in deletion.runs}
    for file in deletion.files:
        file.unlink(missing_ok=True)
        sweep = next(folder for folder in file.parents if folder in sweeps)
        _remove_empty(file.parent, up_to=sweep)
    for path in deletion.runs:
        with Run.at(path).lock() as mine:
            if not mine:
                left.append(f"{shown(path)} is being run by another process")
                continue
            if others := _delete_run(path):
                left.append(f"{shown(path)} holds what losslab did not make: {', '.join(others)}")
        _remove_empty(path, up_to=sweep_of(path))
    return left


def _delete_run(path: Path) -> list[str]:
    """Delete a run's files; return the names of files that losslab did not make."""
    first, last = Files().status.name, (Files().manifest.name, LOCK_FILE)
    known = {*map(str, Files()), LOCK_FILE}
    files = {file.name: stat.S_ISREG(file.lstat().st_mode) for file in path.iterdir()}
    own = {n for n, regular in files.items() if regular and (n in known or _MADE.fullmatch(n))}
    # In an order that never makes half a run look finished, or unlike a run.
    for name in [first, *sorted(own - {first, *last}), *last]:
        if name in own:
            (path / name).unlink()
    return sorted(files.keys() - own)


def _is_run(path: Path) -> bool:
    """Return whether losslab made a folder, by its status or its manifest."""
    for file, key in ((Files().status, "checksum"), (Files().manifest, "losslab")):
        with suppress(ValueError):
            if key in read_json(path / file):
                return True
    return False


def _files_of_a_sweep(sweep: Path) -> Iterator[Path]:
    """Yield the reports, plans and searches of a sweep or study."""
    for folder, below, names in os.walk(sweep):
        below[:] = [name for name in below if not name.startswith("seed=")]
        for path in (Path(folder, name) for name in names):
            plan = folder == str(sweep) and path.name in _OF_A_SWEEP and not path.is_symlink()
            if plan or (path.suffix in _REPORT_FORMATS and is_generated(path)):
                yield path


def _remove_empty(folder: Path, *, up_to: Path) -> None:
    """Remove a folder and its parents up to ``up_to``, as far as they are empty."""
    for path in (folder, *folder.parents):
        with suppress(OSError):
            path.rmdir()
        if path == up_to or path.exists():
            return


def _runs_below(path: Path) -> list[Path]:
    if not path.is_dir():
        rule = "give one that holds runs, such as outputs/runs"
        raise ValueError(f"{shown(path)} is not a folder; {rule}")
    runs = sorted(run_folders(path))
    if not runs:
        raise ValueError(f"{shown(path)} holds no runs; give the folder of a sweep, study or run")
    return runs


def _absolute(path: Path) -> Path:
    """Return an absolute path whose last part may be a link."""
    return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name
