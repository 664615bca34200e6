"""The "why": what the gradient, the curvature and the outputs look like while training.

Each diagnostic looks at a :class:`View`, one fixed batch under the present weights, and gives
plain numbers under ``why/<diagnostic>/...``. None changes what is trained.
"""

from losslab.diagnostics.attenuation import Attenuation
from losslab.diagnostics.calibration import Calibration
from losslab.diagnostics.examination import Diagnostic, Examination, check_cadences, probe_of
from losslab.diagnostics.flipped_labels import FlippedLabels
from losslab.diagnostics.geometry import Geometry
from losslab.diagnostics.landscape import Landscape
from losslab.diagnostics.layers import Layers
from losslab.diagnostics.logit_curvature import LogitCurvature
from losslab.diagnostics.logit_gradients import LogitGradients
from losslab.diagnostics.logit_hessian import differentiate_twice, logit_hessian
from losslab.diagnostics.margins import Margins
from losslab.diagnostics.plateau import Plateau
from losslab.diagnostics.saturation import Saturation
from losslab.diagnostics.view import View
from losslab.diagnostics.weight_curvature import WeightCurvature

__all__ = [
    "Attenuation",
    "Calibration",
    "Diagnostic",
    "Examination",
    "FlippedLabels",
    "Geometry",
    "Landscape",
    "Layers",
    "LogitCurvature",
    "LogitGradients",
    "Margins",
    "Plateau",
    "Saturation",
    "View",
    "WeightCurvature",
    "check_cadences",
    "differentiate_twice",
    "logit_hessian",
    "probe_of",
]
