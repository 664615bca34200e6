"""TensorBoard's event file of a run: the scalars, and one HParams row a configuration."""

import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
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

from losslab.files import beside, read_json, read_text
from losslab.recording import Run
from losslab.tensorboard.events import EventFile, read_events
from losslab.tensorboard.layout import LAYOUT_TAGS, run_layout
from losslab.tensorboard.summaries import scalars, text
from losslab.tensorboard.tags import is_shown
from losslab.text import markdown, printable

HyperParameters = dict[str, bool | float | str]

_NOT_VERSIONS = ("command", "choices")


class RunWriter:
    """A view of a run's records: scalars and the HParams session, in the run's own folder.

    ``add_hparams`` would make a second run, and an experiment record names one fixed set of
    columns, which one run cannot know. Only the two session records are written; ``losslab board``
    adds the record for the runs that it shows (:mod:`losslab.tensorboard.hparams`).
    ``hyper_parameters`` are column to value, without the seed; runs with the same ``group``, the
    configuration's name, make one row, averaged. Without ``all_tags`` only those of
    :func:`is_shown` are written.
    """

    def __init__(
        self, run: Run, *, hyper_parameters: HyperParameters, group: str, all_tags: bool = False
    ) -> None:
        self._run = run
        self._hyper_parameters = hyper_parameters
        self._group = group
        self._all_tags = all_tags
        self._charted: frozenset[str] = frozenset()

    def open(self, *, start: float, records: Sequence[Mapping[str, Any]]) -> None:
        """Write the file anew, in place of earlier ones, so that no event is there twice.

        At the Unix time ``start`` in seconds, with the records of a run that is resumed. What an
        earlier file shows beside scalars up to the last of them is kept, too.
        """
        self._start, folder = start, self._run.path
        earlier = sorted(folder.glob("*tfevents*"), key=lambda p: p.stat().st_mtime)
        kept = _shown(earlier[-1], up_to=records[-1]["examples"]) if records and earlier else []
        session = SessionStartInfo(group_name=self._group, start_time_secs=start)
        for name, value in self._hyper_parameters.items():
            if isinstance(value, bool):
                session.hparams[name].bool_value = value
            elif isinstance(value, str):
                session.hparams[name].string_value = printable(value)
            else:
                session.hparams[name].number_value = value
        data = HParamsPluginData(session_start_info=session)
        path = folder / f"events.out.tfevents.{start:.0f}.{socket.gethostname()}.{os.getpid()}"
        # Whole before it has its name, as a kill in between must leave the earlier one.
        said = [text(f"about/{key}", told) for key, told in about(self._run).items()]
        with beside(path) as temporary:
            self._events = EventFile(temporary, wall_time=start)
            started = _session(metadata.SESSION_START_INFO_TAG, data)
            self._events.add([started, *said], wall_time=start)
            for record in records:
                while kept and kept[0].step < record["examples"]:
                    self._events.write(kept.pop(0))
                self.add_record(record)
            for event in kept:
                self._events.write(event)
            self._events.flush()
        for old in earlier:
            if old != path:
                old.unlink()

    def add_record(self, record: Mapping[str, Any]) -> None:
        """Write the tags of one record of ``metrics.jsonl`` as scalars over examples seen."""
        shown = [tag for tag in record if "/" in tag and (self._all_tags or is_shown(tag))]
        tags = {tag: record[tag] for tag in shown}
        self.add_shown(record, scalars(tags))
        if new := tags.keys() & set(LAYOUT_TAGS) - self._charted:
            # TensorBoard takes the last: a chart of what is never recorded would stay empty.
            self._charted |= new
            self.add_shown(record, [run_layout(self._charted)])

    def add_shown(self, position: Mapping[str, Any], shown: Sequence["Summary.Value"]) -> None:
        """Write values, such as images and histograms, at the place of a record."""
        at = self._start + position["wall_s"]
        self._events.add(shown, step=position["examples"], wall_time=at)

    def flush(self) -> None:
        """Write out what is held; done after each epoch, since a killed run loses it."""
        self._events.flush()

    def close(self, *, success: bool) -> None:
        """End the session and close the file."""
        status, now = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE, time.time()
        session = SessionEndInfo(status=status, end_time_secs=now)
        end = _session(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=session))
        try:
            self._events.add([end], wall_time=now)
        finally:
            self._events.close()


def about(run: Run) -> dict[str, str]:
    """Return configuration, command, and versions with commit, as Markdown, of those written."""
    texts, files = {}, run.files
    if files.config.exists():
        texts["config"] = _code("yaml", read_text(files.config))
    if files.manifest.exists():
        manifest = read_json(files.manifest)
        texts["command"] = _code("sh", manifest["command"])
        rows = [
            f"| {markdown(key)} | {markdown(str(value))} |"
            for key, value in manifest.items()
            if key not in _NOT_VERSIONS
        ]
        texts["versions"] = "\n".join(["| what | value |", "| :-- | :-- |", *rows])
    return texts


def _code(language: str, text: str) -> str:
    # Longer than any fence in it, which would end it.
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}{language}\n{printable(text.rstrip())}\n{fence}"


def _session(tag: str, data: HParamsPluginData) -> "Summary.Value":
    return Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data))


def _shown(path: Path, *, up_to: int) -> list[Event]:
    """Return the events of a file that show images and histograms, up to a place."""

    def shows(event: Event) -> bool:
        return any(v.HasField("image") or v.HasField("histo") for v in event.summary.value)

    return [event for event in read_events(path) if event.step <= up_to and shows(event)]
