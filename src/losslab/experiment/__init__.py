"""The composition root: a configuration in, a finished run out.

The only place that instantiates.
"""

from losslab.experiment.compose import CONFIG_FOLDER, Composer, choices_of, quoted
from losslab.experiment.identity import RunIdentity, identify
from losslab.experiment.run import IN_USE, RunInUseError, job, prepare, run

__all__ = [
    "CONFIG_FOLDER",
    "IN_USE",
    "Composer",
    "RunIdentity",
    "RunInUseError",
    "choices_of",
    "identify",
    "job",
    "prepare",
    "quoted",
    "run",
]
