"""The run directory and what is written into it.

``metrics.jsonl`` is the truth, TensorBoard's event file a view of it. Nothing here imports torch or
TensorBoard, because looking at finished runs must be quick.
"""

from losslab.files import write_atomically, write_json
from losslab.recording.manifest import manifest
from losslab.recording.placement import locate, place
from losslab.recording.record_log import RecordLog, read_records
from losslab.recording.recorder import Recorder, View, check_marks
from losslab.recording.run_directory import FINISHED, RunDirectory, Status

__all__ = [
    "FINISHED",
    "RecordLog",
    "Recorder",
    "RunDirectory",
    "Status",
    "View",
    "check_marks",
    "locate",
    "manifest",
    "place",
    "read_records",
    "write_atomically",
    "write_json",
]
