"""Reports: tables, claims and figures, made from run directories without torch.

Data flow in one direction, and each stage hands over one thing: the plan and the runs
(:mod:`~losslab.report.plan`, :mod:`~losslab.report.runs`), choices and estimates with intervals
(:mod:`~losslab.report.tuning`, :mod:`~losslab.report.estimates`), verdicts
(:mod:`~losslab.report.claims`), all of them as findings (:mod:`~losslab.report.findings`), and from
these the document and ``results.json``.
"""

import errno
import os
from pathlib import Path

from rich.console import Console
from rich.text import Text

from losslab.files import check_generated, write_atomically
from losslab.report.claims_page import write_claims_pages
from losslab.report.document import to_console, to_markdown
from losslab.report.findings import find, sweep
from losslab.report.measurement import load_evidence
from losslab.report.plan import PLAN_FILE, load_plan, parse_plan
from losslab.report.results import plain, study_data, sweep_data, to_json
from losslab.report.runs import distinct, load_runs, runs_table, unstarted
from losslab.report.study_report import study_document
from losslab.report.sweep_report import sweep_document
from losslab.report.tuning import select, tuning_points


def write(path: Path, *, console: Console, out: Path | None = None) -> None:
    """Report on a study or a sweep, on each of those in a folder, or write the page of claims.

    Files go next to the runs, or into ``out``, with a folder for each of several studies or sweeps.
    Raises ``ValueError`` as :func:`build` does, or for committed results that cannot be read.
    """
    roots = studies_and_sweeps(path)
    if not roots and any(path.glob("*/results.json")):
        for page in write_claims_pages(path):
            console.print(Text(f"Written: {page}"), soft_wrap=True)
        return
    errors = []
    for index, root in enumerate(roots or [path]):
        if index:
            console.print()
        try:
            folder = out
            if root != path:
                check_generated(root, below=path)
                if out is not None:
                    check_generated(folder := out / root.name, below=out)
            build(root, console=console, out=folder)
        except ValueError as error:  # continue with the other studies
            errors.append(str(error))
    if errors:
        raise ValueError("; ".join(errors))


def write_site(folder: Path, out: Path, *, console: Console) -> None:
    """Write a website of the studies in a folder of results, such as ``experiments``."""
    from losslab.report.html_report import site

    pages = site(folder)
    for name in pages:
        check_generated(out / name, below=out)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        write_atomically(out / name, text)
    console.print(Text(f"Written: {out / 'index.html'}, {len(pages)} files"), soft_wrap=True)


def studies_and_sweeps(path: Path) -> list[Path]:
    """Return the studies and sweeps in a folder, or the folder itself if it is one."""
    runs = ("seed=*", "*/seed=*", "hash=*/*/seed=*", "*/hash=*/seed=*", "hash=*/*/*/seed=*")

    def has_runs(folder: Path) -> bool:
        return any(any(folder.glob(name)) for name in (PLAN_FILE, *runs))

    if path.name.startswith("seed=") or has_runs(path):
        return [path]
    return sorted(child for child in path.glob("*") if has_runs(child))


def build(
    root: Path, *, console: Console | None = None, out: Path | None = None
) -> tuple[Path, ...]:
    """Report on the study or sweep in a folder of runs, finished or not; return the files.

    ``report.md``, ``results.json``, ``report.html`` and ``figures/`` go into ``out``, by default
    ``root``. Without a console nothing is printed.

    Raises:
        ValueError: The folder does not exist or holds no runs, the plan cannot be read, or a file
            or link that losslab did not make is in the way.
    """
    runs = load_runs(root)
    out = root if out is None else out
    report, results, folder = out / "report.md", out / "results.json", out / "figures"
    page = out / "report.html"
    for path in (report, results, folder, page):
        check_generated(path, below=out)
    for target in (folder, out):
        existing = next(path for path in (target, *target.absolute().parents) if path.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise ValueError(f"cannot write into {existing}; give another folder with --to")
    plan = load_plan(root) if (root / PLAN_FILE).exists() else None
    # TensorBoard's protocol buffers take half a second to import, matplotlib takes seconds.
    from losslab.figures.panels import draw_drawings
    from losslab.report.figures import draw_study, draw_sweep
    from losslab.report.html_report import recorded, study_page, sweep_page
    from losslab.report.over_seeds import write_best, write_over_seeds

    try:
        if runs:
            write_over_seeds(root, runs, console)
            write_best(root, runs, plan)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        if console is not None:  # runs in a read-only folder still get a report
            message = f"No curves over seeds for TensorBoard: cannot write ({error})"
            console.print(Text(message), soft_wrap=True)
    if plan is not None:
        findings = find(plan, runs, load_evidence(root))
        figures = [*draw_study(findings, folder), *draw_drawings(findings.drawings, folder)]
        data = study_data(findings)
        document = study_document(findings, {path.name for path in figures})
        text = to_markdown(document)
        # The page draws the usual figures itself, and embeds those of measures.
        drawings = [(folder / f"{each.name}.png", each.caption) for each in findings.drawings]
        html = study_page(plain(data), recorded(findings), drawings=drawings)
    elif runs:
        ranked = sweep(runs, unstarted=unstarted(root))
        figures = draw_sweep(ranked, folder)
        data = sweep_data(ranked)
        document = sweep_document(ranked, {path.name for path in figures})
        text = to_markdown(document)
        name = root.resolve().name
        html = sweep_page(name, ranked, runs, report=text, figures=figures)
    else:
        raise ValueError(
            f"{root} holds no runs; give the folder of a study or a sweep, or start one: "
            "losslab train"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(report, text)
    write_atomically(results, to_json(data))
    write_atomically(page, html)
    if console is not None:
        to_console(document, console)
        console.print(f"\nWritten: {report}", highlight=False, soft_wrap=True)
    return (report, results, page, *figures)


def prepare_board(path: Path) -> list[Path]:
    """Write the runs for TensorBoard's links; return their folders, the latest first."""
    from losslab.report.over_seeds import BEST, write_best  # imports TensorBoard's protocol buffers

    folders = []
    for root in studies_and_sweeps(path):
        try:
            if root != path:
                check_generated(root, below=path)
            runs = load_runs(root)
            write_best(root, runs, load_plan(root) if (root / PLAN_FILE).exists() else None)
        except (ValueError, OSError):
            continue  # `losslab report` explains the error
        if any((root / BEST).glob("*/*tfevents*")):
            ended = max((str(run.manifest.get("end")) for run in runs if run.finished), default="")
            folders.append((ended, root / BEST))
    return [folder for _, folder in sorted(folders, reverse=True)]
