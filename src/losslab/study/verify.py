"""Verify a study: repeat some confirmed points on fresh seeds and compare the results."""

import math
import re
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

from rich.console import Console

from losslab import report
from losslab.experiment import Composer, quoted
from losslab.files import check_generated, read_json, write_atomically
from losslab.folders import CONFIG_FOLDER
from losslab.launchers import Failed
from losslab.report.document import to_console, to_markdown
from losslab.report.findings import find
from losslab.report.plan import Plan
from losslab.report.reproduction import (
    Committed,
    Reproduction,
    compare_results,
    document,
    parse_results,
    point_name,
)
from losslab.study.outline import SIZES
from losslab.study.session import Session, open_study
from losslab.study.study import Cell, Point, Study
from losslab.text import nearest

FOLDER = "verify"
"""The folder of verifications, in the output folder."""

PAGE = "verification.md"

SEEDS, MINUTES = 5, 3.0
"""Defaults: fresh seeds for each point, and minutes after which no more points are started."""

_FIRST_SEED = 1000
_RESULTS = "results.json"
# Overrides that do not change results, except for rounding.
_WITHOUT_EFFECT = re.compile(
    r"[+~]*(launcher|output_dir|force|data\.(root|cache_dir|download)|"
    r"trainer\.(device|engine|stack_size|log_every|checkpoint_every|pictures_every|"
    r"histograms_every))\b"
)


@dataclass(frozen=True)
class Verification:
    """A verification: its folder, what was compared, and the runs that failed."""

    path: Path
    found: Reproduction
    failed: Sequence[Failed]


def verify(
    composer: Composer,
    name: str,
    overrides: Sequence[str],
    *,
    console: Console,
    seeds: int = SEEDS,
    points: Sequence[str] | None = None,
    minutes: float = MINUTES,
    results: Path | None = None,
) -> Verification:
    """Run points of a study on fresh seeds, in ``verify/NAME``, and compare with its results.

    Args:
        composer: Open.
        name: Of the study, or a folder with its ``results.json``.
        overrides: Of the command that made the results; launchers and devices may differ.
        console: For progress and tables.
        seeds: The number of fresh seeds for each point.
        points: ``<arm>[@<condition>][:<rate>]`` of each, or ``all``. By default the sides of claims
            in order, those with a verdict first, then all others, as long as they are expected to
            fit into ``minutes``; at least one.
        minutes: See ``points``.
        results: The file or its folder; by default that in ``experiments``, or else the study's.

    Raises:
        ValueError: No such results or points, or results of another study, size or configuration.
    """
    began = time.monotonic()
    if seeds < 2:
        raise ValueError(f"--seeds {seeds}; give at least 2, as one has no spread")
    if not minutes > 0:
        raise ValueError(f"--minutes {minutes:g}; give a positive number")
    if results is None and (Path(name) / _RESULTS).is_file():
        results, name = Path(name), ""
    if not name and results is not None:
        name = _read(results).words[2]
    study, session = open_study(composer, name, overrides, console=console, command="")
    path = results or _usual(session)
    committed = _read(path)
    _check(session, committed, overrides, path)
    if not study.arms:
        why = f"{name} confirms no points, it only has measures"
        raise ValueError(f"{why}; `losslab study {name}` repeats it")
    used = {seed for about in study.runs.values() for seed in about.seeds} | committed.seeds
    used |= {*study.tune_seeds, *study.confirm_seeds}
    fresh = islice((n for n in count(_FIRST_SEED) if n not in used), seeds)
    study = replace(study, confirm_seeds=list(fresh))
    command = shlex.join(["losslab", "verify", name, *overrides])
    session = replace(session, name=f"{FOLDER}/{session.name}", command=command)
    check_generated(session.root / PAGE, below=session.root)
    return _run(study, session, committed, path, points, until=began + 60 * minutes)


def _usual(session: Session) -> Path:
    """Return the folder with the committed results of a study, or else its own folder."""
    places = [CONFIG_FOLDER.parent / "experiments" / session.name, session.root]
    found = next((place for place in places if (place / _RESULTS).is_file()), None)
    if found is None:
        raise ValueError(
            f"there are no results of {session.name} to verify, neither in experiments nor in "
            f"{session.root}; `losslab study` makes them, or name the folder with --results"
        )
    return found


def _read(path: Path) -> Committed:
    folder = path.expanduser()
    file = folder if folder.is_file() else folder / _RESULTS
    try:
        return parse_results(read_json(file))
    except ValueError as error:
        why = f"{file} is not a study's {_RESULTS}: {error}"
        raise ValueError(f"{why}; `losslab study NAME` makes one") from None


def _check(session: Session, committed: Committed, overrides: Sequence[str], path: Path) -> None:
    """Reject results of another study, size or configuration."""
    if committed.study != session.name:
        sizes = ", ".join(f"study.size={size}" for size in SIZES[1:])
        found = f"{path} holds the results of {committed.study}, not of {session.name}"
        raise ValueError(f"{found}; give that study, or its size ({sizes})")

    def choosing(words: Iterable[str]) -> set[str]:
        return {quoted(w) for w in words if "=" in w and not _WITHOUT_EFFECT.match(w)}

    theirs, ours = choosing(committed.words[3:]), choosing(overrides)
    if theirs != ours:
        given = shlex.join(sorted(theirs - ours))
        change = f"add {given}" if given else f"leave out {shlex.join(sorted(ours - theirs))}"
        raise ValueError(f"{path} was made by `{committed.command}`; {change}")


def _run(
    study: Study,
    session: Session,
    committed: Committed,
    source: Path,
    names: Sequence[str] | None,
    *,
    until: float,
) -> Verification:
    """Carry out the runs on the study's confirming seeds, compare, and write the page."""
    failed: list[Failed] = []
    with session.launcher:
        session.check_overrides(study.varied(session))
        cells = study.cells(session)
        if set(committed.arms) != set(cells):
            differ = ", ".join(sorted(set(committed.arms) ^ set(cells)))
            raise ValueError(f"{source} and the study do not have the same arms: {differ}")
        chosen = {n: arm.chosen for n, arm in committed.arms.items() if arm.chosen is not None}
        plan = replace(study.plan(session, cells, {}), chosen=chosen)
        points = _points(study, plan, cells.values())
        wanted = _named(points, names) if names else _ordered(plan, points, committed)
        wanted = _with_starts(wanted, points)
        left, seconds = [points[name] for name in wanted], 0.0
        while True:
            room = math.inf if names else 1
            if seconds and not names:
                # Start half of what is expected to fit, as points take different times.
                room = max(0, (until - time.monotonic()) / seconds / 2)
            batch, pending = _batch(study, plan, left, room)
            if not batch:
                break
            began = time.monotonic()
            plan, _, more = study.do(session, plan, "confirm", batch)
            failed += more
            left = [point for point in left if point not in batch]
            if pending:
                seconds = (time.monotonic() - began) / pending
    found = compare_results(committed, find(plan, report.load_runs(session.root)))
    done = {(run.arm, run.rate) for run in plan.confirm}
    skipped = [name for name, (cell, rate, _) in points.items() if (cell.name, rate) not in done]
    seeds = study.confirm_seeds
    about = {
        "source": f"{source} against seeds {seeds[0]} to {seeds[-1]}, on which it does not rest.",
        "left_out": list(_left_out(plan, found, skipped)),
    }
    page = document(session.name.removeprefix(f"{FOLDER}/"), found, about)
    write_atomically(session.root / PAGE, to_markdown(page))
    to_console(page, session.console)
    return Verification(session.root, found, failed)


def _points(study: Study, plan: Plan, cells: Iterable[Cell]) -> dict[str, Point]:
    """Return the confirmed points by name; the reference has one for all rates."""
    found: dict[str, Point] = {}
    for cell, rate, value in study.confirming(cells, plan.chosen):
        if cell.name == cell.reference and any(p[0] is cell for p in found.values()):
            continue
        found[point_name(cell.name, str(rate))] = (cell, rate, value)
    return found


def _named(points: Mapping[str, Point], names: Sequence[str]) -> list[str]:
    """Return the points that match the names, which may leave out condition and rate."""
    if "all" in names:
        return list(points)
    wanted: list[str] = []
    for name in names:
        given = re.fullmatch(r"([^@:]*)(?:@([^@:]*))?(?::([^@:]*))?", name)
        found = [p for p in points if given and _matches(points[p], *given.groups())]
        if not found:
            missing = f"--points {name}: the study has no such point{nearest(name, points)}"
            raise ValueError(f"{missing}; there are all, {', '.join(points)}")
        wanted += found
    return list(dict.fromkeys(wanted))


def _matches(point: Point, arm: str, condition: str | None, rate: str | None) -> bool:
    name, _, under = point[0].name.partition("@")
    return name == arm and condition in (None, under) and rate in (None, point[1])


def _ordered(plan: Plan, points: Mapping[str, Point], committed: Committed) -> list[str]:
    """Return the points in order of importance."""
    settled = {claim.id for claim in committed.claims if claim.verdict != "inconclusive"}
    claims = sorted(plan.claims, key=lambda claim: claim.id not in settled)
    sides = [side for claim in claims for side in claim.sides]
    names = [point_name(side.arm, side.rate) for side in sides]
    # The reference has one point for all rates.
    found = [name if name in points else name.partition(":")[0] for name in names]
    return list(dict.fromkeys([*(name for name in found if name in points), *points]))


def _with_starts(wanted: Sequence[str], points: Mapping[str, Point]) -> list[str]:
    """Insert before each point the one whose weights it starts from."""
    every = [each for name in wanted for each in (str(points[name][0].start), name)]
    return list(dict.fromkeys(name for name in every if name in points))


def _batch(study: Study, plan: Plan, left: Sequence[Point], room: float) -> tuple[list[Point], int]:
    """Return the points to run next, whose initial weights exist, and their unfinished runs."""
    there = {run.arm for run in plan.confirm if run.rate == "own"}
    batch, pending = [], 0
    for point in left:
        if point[0].start is not None and point[0].start not in there:
            continue
        missing = any(run.pending for run in study.runs_of(plan, point))
        if pending + missing <= max(room, 0) or not missing:
            batch.append(point)
            pending += missing
    return batch, pending


def _left_out(plan: Plan, found: Reproduction, skipped: Sequence[str]) -> Iterator[str]:
    if skipped:
        yield f"points that were not run (--points or --minutes adds them): {', '.join(skipped)}"
    compared = {claim.name for claim in found.claims}
    differences = [claim.id for claim in plan.claims if claim.sides and claim.id not in compared]
    if differences:
        yield f"claims about such points: {', '.join(differences)}"
    if quantities := [claim.id for claim in plan.claims if claim.quantity]:
        yield f"claims about what measures give: {', '.join(quantities)}"
