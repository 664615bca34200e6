"""Read and write TensorBoard's event files, without a background thread."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.errors import DataLossError, OutOfRangeError
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
from tensorboard.summary.writer.record_writer import RecordWriter

_VERSION = "brain.Event:2"


class EventFile(RecordWriter):  # type: ignore[misc]
    """Writes events to a new file, which must have ``tfevents`` in its name.

    ``SummaryWriter`` would start a thread, which slows down short runs.
    """

    def __init__(self, path: Path, *, wall_time: float) -> None:
        super().__init__(path.open("wb"))
        self.write_event(Event(wall_time=wall_time, file_version=_VERSION))

    def add(
        self, values: Iterable["Summary.Value"], *, wall_time: float, step: int | None = None
    ) -> None:
        """Write values as one event, which costs an eighth of separate events."""
        self.write_event(Event(wall_time=wall_time, step=step, summary=Summary(value=values)))

    def write_event(self, event: Event) -> None:
        """Write an event as it is."""
        self.write(event.SerializeToString())


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events of a file up to the first damaged one."""
    reader = PyRecordReader_New(str(path))
    with suppress(OutOfRangeError, DataLossError):
        while True:
            reader.GetNext()
            yield Event.FromString(reader.record())
