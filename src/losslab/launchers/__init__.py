"""Launchers train the runs of a sweep: in this process, on all cores, or on a cluster."""

from losslab.launchers.base import Failed, Launcher, LauncherError
from losslab.launchers.dispatch import dispatch, make_launcher, outcome
from losslab.launchers.local import Joblib, Serial
from losslab.launchers.ray_cluster import Ray
from losslab.launchers.slurm import Slurm
