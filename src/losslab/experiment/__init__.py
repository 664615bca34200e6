"""One run: composed, checked, identified, built and trained.

Names are imported on first use, as only some of the modules need torch.
"""

from typing import TYPE_CHECKING

import losslab

if TYPE_CHECKING:
    from losslab.experiment.compose import CONFIG_FOLDER, Composer, choices_of
    from losslab.experiment.identity import plan_run
    from losslab.experiment.overrides import command_for, quoted, to_overrides
    from losslab.experiment.run import IN_USE, perform, prepare
    from losslab.experiment.saved_model import SavedModel, evaluate_run, load_model
    from losslab.experiment.stacking import stacks, with_engine


_MODULES = {
    "compose": ("CONFIG_FOLDER", "Composer", "choices_of"),
    "overrides": ("command_for", "quoted", "to_overrides"),
    "identity": ("plan_run",),
    "run": ("IN_USE", "perform", "prepare"),
    "stacking": ("stacks", "with_engine"),
    "saved_model": ("SavedModel", "evaluate_run", "load_model"),
}
__getattr__ = losslab.lazily(
    __name__, {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
)
