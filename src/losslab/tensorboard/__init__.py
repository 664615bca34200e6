"""All that TensorBoard sees: event files, the summaries in them, layout, HParams, means over seeds.

Written with TensorBoard's own protocol buffers and record writer; nothing here needs torch. Runs
write through :class:`RunWriter`, reports through :func:`write_configuration`. Images come from
:mod:`losslab.figures` as PNG.
"""

from losslab.tensorboard.events import EventFile, is_event_file, read_events
from losslab.tensorboard.layout import HIGH, LAYOUT_TAGS, LOW, MEAN, run_layout, seeds_layout
from losslab.tensorboard.over_seeds import (
    FOLDER,
    Seed,
    means_over_seeds,
    remove_others,
    write_configuration,
)
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
    "FOLDER",
    "HIGH",
    "LAYOUT_TAGS",
    "LOW",
    "MEAN",
    "EventFile",
    "RunWriter",
    "Seed",
    "histogram",
    "histograms",
    "image",
    "is_event_file",
    "means_over_seeds",
    "precision_recall",
    "precision_recall_curves",
    "read_events",
    "remove_others",
    "run_layout",
    "scalars",
    "seeds_layout",
    "tensor",
    "text",
    "write_configuration",
]
