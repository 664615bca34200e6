"""The composition root: a configuration in, a finished run out.

The only place that instantiates.
"""

from losslab.experiment.compose import CONFIG_FOLDER, Composer, choices_of
from losslab.experiment.identity import RunIdentity, identify, make_room
from losslab.experiment.job import Job, command_for
from losslab.experiment.overrides import quoted
from losslab.experiment.run import IN_USE, RunInUseError, prepare, run
from losslab.experiment.saved_model import SavedModel, evaluate_run, load_model

__all__ = [
    "CONFIG_FOLDER",
    "IN_USE",
    "Composer",
    "Job",
    "RunIdentity",
    "RunInUseError",
    "SavedModel",
    "choices_of",
    "command_for",
    "evaluate_run",
    "identify",
    "job",
    "load_model",
    "make_room",
    "prepare",
    "quoted",
    "run",
]
