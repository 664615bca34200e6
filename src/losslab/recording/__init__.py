"""A run, its directory and what is written into it.

``metrics.jsonl`` is the truth, TensorBoard's event file a view of it. Nothing here imports torch or
TensorBoard, because looking at finished runs must be quick.
"""

from losslab.files import write_atomically, write_json
from losslab.recording.manifest import manifest
from losslab.recording.placement import locate, place
from losslab.recording.record_log import RecordLog, read_records
from losslab.recording.recorder import Recorder, View, check_marks
from losslab.recording.results import Status, flatten, read_predictions
from losslab.recording.run import FINISHED, Files, Run, curves_table, make_room

__all__ = [
    "FINISHED",
    "Files",
    "RecordLog",
    "Recorder",
    "Run",
    "Status",
    "View",
    "check_marks",
    "curves_table",
    "flatten",
    "locate",
    "make_room",
    "manifest",
    "place",
    "read_predictions",
    "read_records",
    "write_atomically",
    "write_json",
]
