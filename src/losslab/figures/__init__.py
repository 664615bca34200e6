"""All drawing: one style, one colour a loss, for reports, TensorBoard and notebooks alike.

What is drawn is given as plain data: a :class:`Drawing` of panels with curves, rows of estimates,
steps of a waterfall, what a run recorded. The functions that draw are in the modules ``panels``,
``rows``, ``waterfall`` and ``run_images``; they return matplotlib's ``Figure``. Importing this
package does not import matplotlib, which takes a second.
"""

from losslab.figures.drawing import Curve, Drawing, Field, Panel, read_drawing
from losslab.figures.styles import LOSS_STYLES, Style, styles_of

__all__ = [
    "LOSS_STYLES",
    "Curve",
    "Drawing",
    "Field",
    "Panel",
    "Style",
    "read_drawing",
    "styles_of",
]
