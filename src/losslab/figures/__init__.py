"""All drawing: one style, one colour a loss, for reports, TensorBoard and notebooks alike.

A figure is described as plain data, a :class:`Drawing`, and drawn by ``losslab.figures.panels``;
``losslab.figures.run_images`` draws what a run recorded. Importing this package does not import
matplotlib, which takes a second.
"""

from losslab.figures.drawing import Cells, Curve, Drawing, Field, Panel
from losslab.figures.styles import LOSS_STYLES, Style, styles_of
