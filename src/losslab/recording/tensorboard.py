"""TensorBoard's event file of a run: the scalars, and one HParams row a configuration."""

from pathlib import Path
from typing import Any

from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.summary import session_end_pb, session_start_pb
from torch.utils.tensorboard import SummaryWriter

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
        # Flushed after each epoch by hand: a killed writer loses what it holds.
        self._writer = SummaryWriter(str(folder), flush_secs=3600)
        self._add_summary(
            session_start_pb(hyper_parameters, group_name=group, start_time_secs=start)
        )

    def add_record(self, record: dict[str, Any]) -> None:
        """Write the tags of one record of ``metrics.jsonl`` as scalars over examples seen."""
        when = self._start + record["wall_s"]
        for tag, value in record.items():
            if "/" in tag:
                self._writer.add_scalar(tag, value, record["examples"], walltime=when)

    def flush(self) -> None:
        """Write out what is held."""
        self._writer.flush()

    def close(self, *, success: bool) -> None:
        """End the session and close the file."""
        status = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE
        self._add_summary(session_end_pb(status))
        self._writer.close()

    def _add_summary(self, summary: Any) -> None:
        assert self._writer.file_writer is not None
        self._writer.file_writer.add_summary(summary)
