"""Verify a study: run confirmed points again on fresh seeds and compare the results."""

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
from losslab.report.committed import Committed, parse_results, point_name
from losslab.report.document import to_console, to_markdown
from losslab.report.findings import find
from losslab.report.plan import Plan
from losslab.report.reproduction import Reproduction, compare_results, document
from losslab.study.execution import Execution
from losslab.study.outline import SIZES
from losslab.study.session import Session, open_study
from losslab.study.study import Point, Study
from losslab.text import nearest

FOLDER = "verify"
"""The folder of verifications in the output folder."""

PAGE = "verification.md"

SEEDS, MINUTES = 5, 3.0
"""Defaults: fresh seeds per point, and minutes after which no further point starts."""

_FIRST_SEED = 1000
_RESULTS = "results.json"
# Overrides that change results by no more than rounding.
_WITHOUT_EFFECT = re.compile(
    r"[+~]*(launcher|output_dir|force|data\.(root|cache_dir|download)|"
    r"trainer\.(device|engine|stack_size|log_every|checkpoint_every|pictures_every|"
    r"histograms_every|all_tags))\b"
)


@dataclass(frozen=True)
class Verification:
    """A verification: its folder, the comparison, and the runs that failed."""

    path: Path
    comparison: Reproduction
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
    """Run points of a study on fresh seeds in ``verify/NAME`` and compare with its results.

    Args:
        composer: An open composer.
        name: The study, or a folder with its ``results.json``.
        overrides: Those of the command that made the results, except for launchers and devices.
        console: For progress and tables.
        seeds: The number of fresh seeds for each point.
        points: Each as ``<arm>[@<condition>][:<rate>]``, or ``all``. By default the sides of the
            claims in order, settled claims first, then all other points, as many as are expected to
            fit into ``minutes``, but at least one.
        minutes: Time limit for the default ``points``.
        results: The results file or its folder. By default the one in ``experiments``, or else the
            one in the study's folder.

    Raises:
        ValueError: The results or points do not exist, or the results are of another study, size or
            configuration.
    """
    began = time.monotonic()
    if seeds < 2:
        raise ValueError(f"--seeds {seeds}; give at least 2, as one has no spread")
    if not minutes > 0:
        raise ValueError(f"--minutes {minutes:g}; give a positive number")
    if results is None and (Path(name) / _RESULTS).is_file():
        results = Path(name)
        name = _read(results).words[2]
    command = shlex.join(["losslab", "verify", name, *overrides])
    study, session = open_study(composer, name, overrides, console=console, command=command)
    path = results or _default_results(session)
    committed = _read(path)
    _check(session, committed, overrides, path)
    if not study.arms:
        why = f"{name} has no points to confirm, only measures"
        raise ValueError(f"{why}; `losslab study {name}` repeats it")
    used = {seed for spec in study.runs.values() for seed in spec.seeds} | committed.seeds
    used |= {*study.tune_seeds, *study.confirm_seeds}
    fresh = islice((seed for seed in count(_FIRST_SEED) if seed not in used), seeds)
    study = replace(study, confirm_seeds=list(fresh))
    session = replace(session, name=f"{FOLDER}/{session.name}")
    check_generated(session.root / PAGE, below=session.root)
    return _run(study, session, committed, path, points, deadline=began + 60 * minutes)


def _default_results(session: Session) -> Path:
    """Return the folder of the committed results of a study, or else the study's own folder."""
    for folder in (CONFIG_FOLDER.parent / "experiments" / session.name, session.root):
        if (folder / _RESULTS).is_file():
            return folder
    raise ValueError(
        f"there are no results of {session.name} to verify, neither in experiments nor in "
        f"{session.root}; run `losslab study`, or give their folder with --results"
    )


def _read(path: Path) -> Committed:
    folder = path.expanduser()
    file = folder if folder.is_file() else folder / _RESULTS
    try:
        return parse_results(read_json(file))
    except ValueError as error:
        why = f"{file} is not a study's {_RESULTS}: {error}"
        raise ValueError(f"{why}; `losslab study NAME` writes one") from None


def _check(session: Session, committed: Committed, overrides: Sequence[str], path: Path) -> None:
    """Reject results of another study, size or configuration."""
    if committed.study != session.name:
        sizes = ", ".join(f"study.size={size}" for size in SIZES[1:])
        why = f"{path} holds the results of {committed.study}, not of {session.name}"
        raise ValueError(f"{why}; give that study, or its size ({sizes})")

    def relevant(words: Iterable[str]) -> set[str]:
        return {quoted(w) for w in words if "=" in w and not _WITHOUT_EFFECT.match(w)}

    expected, actual = relevant(committed.words[3:]), relevant(overrides)
    if expected != actual:
        missing = shlex.join(sorted(expected - actual))
        change = f"add {missing}" if missing else f"omit {shlex.join(sorted(actual - expected))}"
        raise ValueError(f"{path} was made by `{committed.command}`; {change}")


def _run(
    study: Study,
    session: Session,
    committed: Committed,
    source: Path,
    names: Sequence[str] | None,
    *,
    deadline: float,
) -> Verification:
    """Run the points on the study's confirming seeds, compare, and write the page."""
    with session.launcher:
        session.check_overrides(study.varied(session))
        cells = study.cells(session)
        if set(committed.arms) != set(cells):
            differ = ", ".join(sorted(set(committed.arms) ^ set(cells)))
            raise ValueError(f"{source} and the study do not have the same arms: {differ}")
        arms = committed.arms.items()
        chosen = {
            name: arm.chosen
            for name, arm in arms
            if arm.chosen is not None and math.isfinite(arm.chosen)
        }
        plan = replace(study.plan(session, cells, {}), chosen=chosen)
        execution = Execution(study=study, session=session, cells=cells, sets={}, plan=plan)
        points = _points(execution)
        selected = _matching(points, names) if names else _by_importance(plan, points, committed)
        remaining = [points[name] for name in _with_starts(selected, points)]
        seconds_per_point = 0.0
        while True:
            most_points = math.inf if names else 1
            if seconds_per_point and not names:
                # Start half of what should fit, as points take different times.
                most_points = max(0, (deadline - time.monotonic()) / seconds_per_point / 2)
            batch, pending = _next_batch(execution, remaining, most_points)
            if not batch:
                break
            began = time.monotonic()
            execution.do("confirm", batch)
            remaining = [point for point in remaining if point not in batch]
            if pending:
                seconds_per_point = (time.monotonic() - began) / pending
    plan = execution.plan
    comparison = compare_results(committed, find(plan, report.load_runs(session.root)))
    done = {(run.arm, run.rate) for run in plan.confirm}
    skipped = [name for name, (cell, rate, _) in points.items() if (cell.name, rate) not in done]
    seeds = study.confirm_seeds
    texts = {
        "source": f"{source} against seeds {seeds[0]} to {seeds[-1]}, which it did not use.",
        "left_out": list(_left_out(plan, comparison, skipped)),
    }
    page = document(committed.study, comparison, texts)
    write_atomically(session.root / PAGE, to_markdown(page))
    to_console(page, session.console)
    return Verification(session.root, comparison, execution.failed)


def _points(execution: Execution) -> dict[str, Point]:
    """Return the confirmed points by name; the reference has one point for all rates."""
    points: dict[str, Point] = {}
    for point in execution.confirming(execution.cells.values()):
        cell = point.cell
        if cell.name != cell.reference or all(other.cell is not cell for other in points.values()):
            points[point.set_name] = point
    return points


def _matching(points: Mapping[str, Point], names: Sequence[str]) -> list[str]:
    """Return the points that match the names, which may omit the condition and the rate."""
    if "all" in names:
        return list(points)
    selected: list[str] = []
    for name in names:
        parts = re.fullmatch(r"([^@:]*)(?:@([^@:]*))?(?::([^@:]*))?", name)
        matches = [
            point
            for point, (cell, rate, _) in points.items()
            if parts
            and cell.name.partition("@")[0] == parts[1]
            and parts[2] in (None, cell.name.partition("@")[2])
            and parts[3] in (None, rate)
        ]
        if not matches:
            missing = f"--points {name}: the study has no such point{nearest(name, points)}"
            raise ValueError(f"{missing}; allowed are all, {', '.join(points)}")
        selected += matches
    return list(dict.fromkeys(selected))


def _by_importance(plan: Plan, points: Mapping[str, Point], committed: Committed) -> list[str]:
    """Return the points: those of settled claims, those of other claims, then all others."""
    settled = {claim.id for claim in committed.claims if claim.verdict != "inconclusive"}
    claims = sorted(plan.claims, key=lambda claim: claim.id not in settled)
    sides = [side for claim in claims for side in claim.sides]
    names = [point_name(side.arm, side.rate) for side in sides]
    # The reference has one point for all rates, without a rate in its name.
    names = [name if name in points else name.partition(":")[0] for name in names]
    return list(dict.fromkeys([*(name for name in names if name in points), *points]))


def _with_starts(selected: Sequence[str], points: Mapping[str, Point]) -> list[str]:
    """Insert before each point the point from whose weights it starts."""
    names = [name for point in selected for name in (str(points[point].cell.start), point)]
    return list(dict.fromkeys(name for name in names if name in points))


def _next_batch(
    execution: Execution, remaining: Sequence[Point], most: float
) -> tuple[list[Point], int]:
    """Return the points to run next, whose initial weights exist, and how many are unfinished."""
    trained = {run.arm for run in execution.plan.confirm if run.rate == "own"}
    batch, pending = [], 0
    for point in remaining:
        if point.cell.start is not None and point.cell.start not in trained:
            continue
        unfinished = any(run.pending for run in execution.runs_of(point))
        if pending + unfinished <= most or not unfinished:
            batch.append(point)
            pending += unfinished
    return batch, pending


def _left_out(plan: Plan, comparison: Reproduction, skipped: Sequence[str]) -> Iterator[str]:
    if skipped:
        yield f"points that were not run (--points or --minutes adds them): {', '.join(skipped)}"
    compared = {claim.name for claim in comparison.claims}
    differences = [claim.id for claim in plan.claims if claim.sides and claim.id not in compared]
    if differences:
        yield f"claims about such points: {', '.join(differences)}"
    if quantities := [claim.id for claim in plan.claims if claim.quantity]:
        yield f"claims about measured quantities: {', '.join(quantities)}"
