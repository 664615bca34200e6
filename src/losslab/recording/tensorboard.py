"""TensorBoard's event file of a run: the scalars, and one HParams row a configuration."""

import os
import socket
import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)

from losslab.board import EventFile, is_event_file, run_layout, scalars

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
        for old in filter(is_event_file, list(folder.iterdir())):
            old.unlink()
        self._start = start
        name = f"events.out.tfevents.{start:.0f}.{socket.gethostname()}.{os.getpid()}"
        self._events = EventFile(folder / name, wall_time=start)
        session = SessionStartInfo(group_name=group, start_time_secs=start)
        for name, value in hyper_parameters.items():
            if isinstance(value, bool):
                session.hparams[name].bool_value = value
            elif isinstance(value, str):
                session.hparams[name].string_value = value
            else:
                session.hparams[name].number_value = value
        self._events.add(
            [
                _session(
                    metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=session)
                ),
                run_layout(),
            ],
            wall_time=start,
        )

    def add_record(self, record: dict[str, Any]) -> None:
        """Write the tags of one record of ``metrics.jsonl`` as scalars over examples seen."""
        self._events.add(
            scalars({tag: value for tag, value in record.items() if "/" in tag}),
            step=record["examples"],
            wall_time=self._start + record["wall_s"],
        )

    def flush(self) -> None:
        """Write out what is held; done after each epoch, since a killed run loses it."""
        self._events.flush()

    def close(self, *, success: bool) -> None:
        """End the session and close the file."""
        status = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE
        now = time.time()
        session = SessionEndInfo(status=status, end_time_secs=now)
        end = _session(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=session))
        self._events.add([end], wall_time=now)
        self._events.close()


def _session(tag: str, data: HParamsPluginData) -> "Summary.Value":
    return Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data))
