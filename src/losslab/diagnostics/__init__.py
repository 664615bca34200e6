"""The "why": what the gradient, the curvature and the outputs look like while training.

Each diagnostic looks at a :class:`View`, one fixed batch under the present weights, and gives
plain numbers under ``why/<diagnostic>/...``. None changes what is trained.
"""

from losslab.diagnostics.examination import Diagnostic, Examination, check_cadences, probe_of
from losslab.diagnostics.logit_gradients import LogitGradients
from losslab.diagnostics.view import View

__all__ = [
    "Diagnostic",
    "Examination",
    "LogitGradients",
    "View",
    "check_cadences",
    "probe_of",
]
