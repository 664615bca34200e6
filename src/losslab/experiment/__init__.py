"""The composition root: a configuration in, a finished run out.

The only place that instantiates.
"""

from losslab.experiment.compose import CONFIG_FOLDER, Composer, choices_of
from losslab.experiment.identity import plan_run
from losslab.experiment.overrides import command_for, quoted
from losslab.experiment.run import IN_USE, RunInUseError, complete, perform, prepare
from losslab.experiment.saved_model import SavedModel, evaluate_run, load_model

__all__ = [
    "CONFIG_FOLDER",
    "IN_USE",
    "Composer",
    "RunInUseError",
    "SavedModel",
    "choices_of",
    "command_for",
    "complete",
    "evaluate_run",
    "load_model",
    "perform",
    "plan_run",
    "prepare",
    "quoted",
]
