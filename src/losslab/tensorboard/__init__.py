"""All that TensorBoard sees: event files, the summaries in them, layout, HParams, means over seeds.

Written with TensorBoard's own protocol buffers and record writer; nothing here needs torch. Runs
write through :class:`RunWriter`, reports through :mod:`losslab.tensorboard.over_seeds`, which is
not imported here, because SciPy takes a second. Images come from :mod:`losslab.figures` as PNG.
"""

from losslab.tensorboard.events import EventFile, is_event_file, read_events
from losslab.tensorboard.layout import HIGH, LAYOUT_TAGS, LOW, MEAN, run_layout, seeds_layout
from losslab.tensorboard.run_writer import RunWriter
from losslab.tensorboard.summaries import (
    histogram,
    histograms,
    image,
    precision_recall,
    precision_recall_curves,
    scalars,
    tensor,
    text,
)

__all__ = [
    "HIGH",
    "LAYOUT_TAGS",
    "LOW",
    "MEAN",
    "EventFile",
    "RunWriter",
    "histogram",
    "histograms",
    "image",
    "is_event_file",
    "precision_recall",
    "precision_recall_curves",
    "read_events",
    "run_layout",
    "scalars",
    "seeds_layout",
    "tensor",
    "text",
]
