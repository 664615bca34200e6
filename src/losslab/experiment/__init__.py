"""The composition root: a configuration in, a finished run out.

The only place that instantiates.
"""

from losslab.experiment.compose import CONFIG_FOLDER, Composer, choices_of
from losslab.experiment.identity import RunIdentity, identify, make_room
from losslab.experiment.job import Job, command_for
from losslab.experiment.overrides import quoted
from losslab.experiment.run import IN_USE, RunInUseError, job, prepare, run

__all__ = [
    "CONFIG_FOLDER",
    "IN_USE",
    "Composer",
    "Job",
    "RunIdentity",
    "RunInUseError",
    "choices_of",
    "command_for",
    "identify",
    "job",
    "make_room",
    "prepare",
    "quoted",
    "run",
]
