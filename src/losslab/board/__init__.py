"""What TensorBoard reads: event files, the summaries in them, the layout of its charts.

Written with TensorBoard's own protocol buffers and record writer; nothing here needs torch. Both
the runs (``recording``) and the means over seeds that a report writes (``report``) come through
here.
"""

from losslab.board.events import EventFile, is_event_file, read_events
from losslab.board.layout import HIGH, LAYOUT_TAGS, LOW, MEAN, run_layout, seeds_layout
from losslab.board.summaries import histogram, picture, precision_recall, scalars, tensor, text

__all__ = [
    "HIGH",
    "LAYOUT_TAGS",
    "LOW",
    "MEAN",
    "EventFile",
    "histogram",
    "is_event_file",
    "picture",
    "precision_recall",
    "read_events",
    "run_layout",
    "scalars",
    "seeds_layout",
    "tensor",
    "text",
]
