"""Everything for TensorBoard: event files, summaries, layout and HParams.

Uses TensorBoard's own protocol buffers and record writer, not torch. Runs write through
:class:`RunWriter`, reports write means over seeds. Images come from :mod:`losslab.figures` as PNG.
"""

from losslab.tensorboard.events import EventFile, read_events
from losslab.tensorboard.layout import INTERVAL, LAYOUT_TAGS, is_shown, seeds_layout, with_data
from losslab.tensorboard.links import PALETTE, links
from losslab.tensorboard.run_writer import RunWriter
from losslab.tensorboard.summaries import histograms, image, precision_recall_curves, scalars
