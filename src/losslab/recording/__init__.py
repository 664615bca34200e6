"""Runs and the files in their directories; ``metrics.jsonl`` is authoritative.

Imports neither torch nor TensorBoard, so that finished runs are read quickly.
"""

from losslab.files import write_atomically, write_json
from losslab.recording.manifest import PACKAGES, manifest
from losslab.recording.placement import configuration_of, locate, place, run_folders
from losslab.recording.recorder import Recorder, check_marks
from losslab.recording.results import (
    FINISHED,
    Status,
    flatten,
    last_record,
    read_predictions,
    read_records,
)
from losslab.recording.run import Files, Run, curves_table, make_room
