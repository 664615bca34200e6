"""Studies: runs that are planned, tuned, confirmed and measured, each with its claims.

The package is also a function, ``losslab.study("why_squared_error")``: :func:`losslab.api.study`.
"""

import sys
from typing import TYPE_CHECKING

import losslab

if TYPE_CHECKING:
    from losslab.launchers import Failed, LauncherError
    from losslab.study.measure import Runs
    from losslab.study.points import Points, Session, do_runs
    from losslab.study.run import only_in_repository, open_study, run_study, studies
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
    "open_study",
    "run_study",
    "studies",
]

_MODULES = {
    "losslab.launchers": ("Failed", "LauncherError"),
    "losslab.study.measure": ("Runs",),
    "losslab.study.points": ("Points", "Session", "do_runs"),
    "losslab.study.run": ("only_in_repository", "open_study", "run_study", "studies"),
    "losslab.study.study": ("Study",),
}
__getattr__ = losslab.lazily(
    __name__, {name: module for module, names in _MODULES.items() for name in names}
)
sys.modules[__name__].__class__ = losslab.StudyPackage
