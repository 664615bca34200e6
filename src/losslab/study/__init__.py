"""Many runs: a sweep over the cores, and a study with its claims."""

from losslab.launchers import Failed, LauncherError
from losslab.study.comparison import Comparison
from losslab.study.demonstration import Demonstration
from losslab.study.measure import Runs
from losslab.study.points import Point, Points, Session, run_points
from losslab.study.run import Study, only_in_repository, run_study, studies

__all__ = [
    "Comparison",
    "Demonstration",
    "Failed",
    "LauncherError",
    "Point",
    "Points",
    "Runs",
    "Session",
    "Study",
    "only_in_repository",
    "run_points",
    "run_study",
    "studies",
]
