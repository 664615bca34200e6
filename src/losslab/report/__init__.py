"""Reports: tables, claims and figures from the files that runs left; no torch, no training."""

import errno
from pathlib import Path

from rich.console import Console
from rich.text import Text

from losslab.report.aggregate import Choice, select
from losslab.report.data import study_data, sweep_data
from losslab.report.evidence import EVIDENCE_FILE, Evidence, judge_evidence, load_evidence
from losslab.report.evidence_report import evidence_data, evidence_document, show_evidence
from losslab.report.findings import find, take_census
from losslab.report.load import Run, load_runs
from losslab.report.notebook import is_notebook, write_notebook
from losslab.report.plan import Plan
from losslab.report.plan_file import PLAN_FILE, load_plan, parse_plan
from losslab.report.render import Results, render
from losslab.report.study_report import study_document
from losslab.report.sweep import sweep
from losslab.report.sweep_report import draw_sweep, sweep_document

__all__ = [
    "Choice",
    "Plan",
    "Results",
    "Run",
    "build",
    "load_plan",
    "load_runs",
    "parse_plan",
    "select",
    "write",
]


def write(path: Path, *, console: Console, out: Path | None = None) -> None:
    """Report on a study or a sweep, on each of those in a folder, or on a notebook of studies.

    Args:
        path: Such as ``outputs/why_squared_error``, ``outputs`` or ``experiments``.
        console: Where to print.
        out: Where the files go; beside the runs if not given. Where there are several studies
            or sweeps, each has a folder of its own there.

    Raises:
        ValueError: As in :func:`build`, or a notebook's results that cannot be read.
    """
    held = _held(path)
    if not held and is_notebook(path):
        page = write_notebook(path)
        console.print(Text(f"Written: {page}"), soft_wrap=True)
        return
    for index, root in enumerate(held or [path]):
        if index:
            console.print()
        build(root, console=console, out=out / root.name if out and held != [path] else out)


def _held(path: Path) -> list[Path]:
    """Return the studies and sweeps that a folder holds: the folder itself if it is one."""

    def is_one(folder: Path) -> bool:
        runs = ("seed=*", "*/seed=*", "hash=*/*/seed=*", "*/hash=*/seed=*", "hash=*/*/*/seed=*")
        names = (PLAN_FILE, EVIDENCE_FILE, *runs)
        return any(any(folder.glob(name)) for name in names)

    if path.name.startswith("seed=") or is_one(path):
        return [path]
    return sorted(child for child in path.glob("*") if is_one(child))


def build(root: Path, *, console: Console | None = None, out: Path | None = None) -> Results:
    """Report what a folder of runs holds, finished or not.

    With a ``study.json`` it is a study: the answer, its claims with verdicts, tuning, figures.
    Otherwise it is a plain sweep: one row a configuration.

    Args:
        root: The folder, such as ``outputs/why_squared_error`` or ``outputs/runs``.
        console: Where to print; ``None`` prints nothing.
        out: Where ``report.md``, ``results.json`` and ``figures/`` go; ``root`` if not given.

    Raises:
        ValueError: No such folder, no runs in it, or a plan that cannot be read.
    """
    runs = load_runs(root)
    out = root if out is None else out
    if runs:
        _write_over_seeds(root, runs, console)
    evidence = load_evidence(root) if (root / EVIDENCE_FILE).exists() else None
    if (root / PLAN_FILE).exists():
        return _study(load_plan(root), runs, evidence, console=console, out=out)
    if evidence is not None:
        return _demonstration(evidence, runs, console=console, out=out)
    if not runs:
        raise ValueError(
            f"{root} holds no runs; give the folder of a study or a sweep, or start one: "
            "losslab train"
        )
    return _sweep(runs, console=console, out=out)


def _write_over_seeds(root: Path, runs: list[Run], console: Console | None) -> None:
    # TensorBoard's protocol buffers take half a second to import: only to write.
    from losslab.report.over_seeds import write_over_seeds

    try:
        write_over_seeds(root, runs)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        if console is not None:  # somebody else's runs can be reported on, too
            text = f"No curves over seeds for TensorBoard: cannot write ({error})"
            console.print(Text(text), soft_wrap=True)


def _study(
    plan: Plan,
    runs: list[Run],
    evidence: Evidence | None,
    *,
    console: Console | None,
    out: Path,
) -> Results:
    # matplotlib takes seconds to import: only to draw.
    from losslab.report.figures import draw_study
    from losslab.report.panels import draw_drawings

    findings = find(plan, runs)
    figures = tuple(draw_study(findings, out / "figures"))
    names = tuple(f"figures/{path.name}" for path in figures)
    data = study_data(findings)
    shown = None
    if evidence is not None:
        shown = show_evidence(evidence, judge_evidence(evidence))
        data["claims"] += shown.data
        drawings = [d for m in evidence.measurements.values() for d in m.drawings]
        figures += tuple(draw_drawings(drawings, out / "figures"))
    return render(
        study_document(findings, names, shown=shown),
        data,
        census=findings.census,
        out=out,
        figures=figures,
        console=console,
    )


def _demonstration(
    evidence: Evidence, runs: list[Run], *, console: Console | None, out: Path
) -> Results:
    from losslab.report.panels import draw_drawings

    judgements = judge_evidence(evidence)
    census = take_census(evidence.runs, {run.name: run for run in runs})
    drawings = [d for m in evidence.measurements.values() for d in m.drawings]
    figures = tuple(draw_drawings(drawings, out / "figures"))
    return render(
        evidence_document(evidence, judgements, census),
        evidence_data(evidence, judgements, census),
        census=census,
        out=out,
        figures=figures,
        console=console,
    )


def _sweep(runs: list[Run], *, console: Console | None, out: Path) -> Results:
    found = sweep(runs)
    figures = tuple(draw_sweep(found, out / "figures"))
    document = sweep_document(found, tuple(f"figures/{path.name}" for path in figures))
    return render(
        document,
        sweep_data(found),
        census=found.census,
        out=out,
        figures=figures,
        console=console,
    )
