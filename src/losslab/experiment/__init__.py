"""One run: composed, checked, identified, built and trained.

What composes configurations imports no torch, what builds runs does: each name is imported when it
is first used.
"""

from typing import TYPE_CHECKING

import losslab

if TYPE_CHECKING:
    from losslab.experiment.compose import CONFIG_FOLDER, Composer, choices_of
    from losslab.experiment.identity import RunIdentity, identify, make_room
    from losslab.experiment.job import Job, command_for
    from losslab.experiment.overrides import quoted
    from losslab.experiment.run import IN_USE, RunInUseError, prepare
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
    "load_model",
    "make_room",
    "prepare",
    "quoted",
]

_MODULES = {
    "compose": ("CONFIG_FOLDER", "Composer", "choices_of"),
    "overrides": ("quoted",),
    "identity": ("RunIdentity", "identify", "make_room"),
    "job": ("Job", "command_for"),
    "run": ("IN_USE", "RunInUseError", "prepare"),
    "saved_model": ("SavedModel", "evaluate_run", "load_model"),
}
__getattr__ = losslab.lazily(
    __name__, {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
)
