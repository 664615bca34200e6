"""Studies: runs that are planned, tuned, confirmed and measured, each with its claims."""

from losslab.launchers import Failed, LauncherError
from losslab.study.measure import Runs
from losslab.study.points import Points, Session, do_runs
from losslab.study.run import only_in_repository, run_study, studies
from losslab.study.study import Study

__all__ = [
    "Failed",
    "LauncherError",
    "Points",
    "Runs",
    "Session",
    "Study",
    "do_runs",
    "only_in_repository",
    "run_study",
    "studies",
]
