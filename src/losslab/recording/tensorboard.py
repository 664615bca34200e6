"""TensorBoard's event file of a run: the scalars, and one HParams row a configuration."""

import os
import socket
import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)
from tensorboard.summary.writer.record_writer import RecordWriter

HyperParameters = dict[str, bool | float | str]


class TensorBoardWriter:
    """Write scalars and the HParams session of one run into its own folder.

    ``add_hparams`` would make a second run, and an experiment record names one fixed set of
    columns, so that losses with other hyper-parameters lose theirs. Only the two session records
    are written: the table then has the union of all columns and every scalar as a metric.

    Args:
        folder: The run directory; earlier event files in it are replaced.
        hyper_parameters: Column to value, without the seed.
        group: The configuration's name; runs with the same one make one row, averaged.
        start: Unix time, in seconds.
    """

    def __init__(
        self, folder: Path, *, hyper_parameters: HyperParameters, group: str, start: float
    ) -> None:
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._start = start
        # TensorBoard's own record writer, not SummaryWriter: that one's thread takes turns with
        # training for the interpreter, which a short run feels.
        name = f"events.out.tfevents.{start:.0f}.{socket.gethostname()}.{os.getpid()}"
        self._records = RecordWriter((folder / name).open("wb"))
        self._write(Event(wall_time=start, file_version="brain.Event:2"))
        session = SessionStartInfo(group_name=group, start_time_secs=start)
        for name, value in hyper_parameters.items():
            if isinstance(value, bool):
                session.hparams[name].bool_value = value
            elif isinstance(value, str):
                session.hparams[name].string_value = value
            else:
                session.hparams[name].number_value = value
        self._add_session(
            metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=session)
        )

    def add_record(self, record: dict[str, Any]) -> None:
        """Write the tags of one record of ``metrics.jsonl`` as scalars over examples seen."""
        values = [
            Summary.Value(tag=tag, simple_value=value)
            for tag, value in record.items()
            if "/" in tag
        ]
        # One event for all of them: an event a scalar costs eight times as much.
        self._write(
            Event(
                wall_time=self._start + record["wall_s"],
                step=record["examples"],
                summary=Summary(value=values),
            )
        )

    def flush(self) -> None:
        """Write out what is held; done after each epoch, since a killed run loses it."""
        self._records.flush()

    def close(self, *, success: bool) -> None:
        """End the session and close the file."""
        status = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE
        session = SessionEndInfo(status=status, end_time_secs=time.time())
        try:
            self._add_session(
                metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=session)
            )
        finally:
            self._records.close()

    def _add_session(self, tag: str, data: HParamsPluginData) -> None:
        value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data))
        self._write(Event(wall_time=time.time(), summary=Summary(value=[value])))

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
