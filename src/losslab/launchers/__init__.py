"""Where the runs of a sweep are done: in this process, on all cores, or on a cluster."""

from losslab.launchers.base import Failed, Launcher, LauncherError
from losslab.launchers.local import Joblib, Serial
from losslab.launchers.ray_cluster import Ray
from losslab.launchers.rounds import (
    do_round,
    is_pending,
    make_launcher,
    on_device_of,
    outcome,
)
from losslab.launchers.slurm import Slurm

__all__ = [
    "Failed",
    "Joblib",
    "Launcher",
    "LauncherError",
    "Ray",
    "Serial",
    "Slurm",
    "do_round",
    "is_pending",
    "make_launcher",
    "on_device_of",
    "outcome",
]
