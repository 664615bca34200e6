"""The best configurations of a sweep, by one metric."""

from pathlib import Path

from losslab.report import formatting as show
from losslab.report.document import Document
from losslab.report.findings import ACCURACY, VALIDATION, Sweep, sweep
from losslab.report.plan import PLAN_FILE, load_plan
from losslab.report.runs import load_runs
from losslab.report.selectors import Goal, check_recorded
from losslab.report.selectors import direction as usual_direction
from losslab.report.sweep_report import ranking


def rank(path: Path, *, by: str = VALIDATION, direction: Goal | None = None) -> Sweep:
    """Return the configurations of a folder, the best first; of a study, on its tuning seeds."""
    runs = load_runs(path)
    if not runs:
        raise ValueError(f"{path} holds no runs; give the folder of a sweep or a study")
    if (path / PLAN_FILE).exists():
        # Its confirming runs are those of what was chosen, and of nothing else.
        tuned = {run.run for run in load_plan(path).tune}
        runs = [run for run in runs if run.name in tuned] or runs
    check_recorded(by, runs, where="--by")
    direction = direction or usual_direction(by)
    if direction is None:
        raise ValueError(f"--by {by}: add --direction maximize or --direction minimize")
    found = sweep(runs, by=by, direction=direction, metrics=[ACCURACY])
    if not found.best:
        raise ValueError(f"--by {by}: each configuration has a run that diverged without it")
    return found


def best_document(found: Sweep) -> Document:
    """Lay out the best configuration of each loss."""
    table, count = ranking(found, found.best), len(found.configurations)
    return Document("best", {"by": show.metric_name(found.by), "best": table, "count": count})
