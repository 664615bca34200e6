"""The "why": gradients, curvature and outputs during training.

Each diagnostic measures a :class:`View`, one fixed batch under the current weights, and returns
numbers, recorded as ``why/<diagnostic>/...``. None changes what is trained.
"""

from losslab.diagnostics.calibration import Calibration
from losslab.diagnostics.early_stopping import EarlyStopping
from losslab.diagnostics.geometry import Geometry
from losslab.diagnostics.kernel_alignment import KernelAlignment
from losslab.diagnostics.landscape import Landscape
from losslab.diagnostics.layers import Layers
from losslab.diagnostics.linear_probe import LinearProbe
from losslab.diagnostics.logit_curvature import LogitCurvature, differentiate_twice, logit_hessian
from losslab.diagnostics.logit_gradients import Attenuation, LogitGradients, Saturation
from losslab.diagnostics.margins import Margins, signal
from losslab.diagnostics.runner import DiagnosticRunner, check_cadences, probe_of
from losslab.diagnostics.training_batches import FlippedLabels, Plateau
from losslab.diagnostics.view import Diagnostic, View
from losslab.diagnostics.weight_curvature import WeightCurvature

__all__ = [
    "Attenuation",
    "Calibration",
    "Diagnostic",
    "DiagnosticRunner",
    "EarlyStopping",
    "FlippedLabels",
    "Geometry",
    "KernelAlignment",
    "Landscape",
    "Layers",
    "LinearProbe",
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
    "signal",
]
