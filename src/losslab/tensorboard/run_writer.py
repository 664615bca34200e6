"""Write the event file of a run: scalars, images and its HParams session."""

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
from losslab.tensorboard.layout import LAYOUT_TAGS, is_shown, run_layout
from losslab.tensorboard.summaries import scalars, text
from losslab.text import markdown, printable

HyperParameters = dict[str, bool | float | str]

_NOT_VERSIONS = ("command", "choices")


class RunWriter:
    """A view of a run's records: scalars and the HParams session, in the run's folder.

    ``SummaryWriter.add_hparams`` would create a second run, and an experiment record fixes the
    columns for all runs, which a single run cannot know. So only the two session records are
    written; ``losslab board`` adds the experiment record (:mod:`losslab.tensorboard.hparams`).

    Args:
        run: The run.
        hyper_parameters: Column to value, without the seed.
        group: The name of the configuration; its runs are averaged in one row.
        all_tags: Whether to write all tags instead of those of :func:`is_shown`.
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
        """Replace earlier files by a new one, so that no event is duplicated.

        ``start`` is in Unix time. A resumed run has ``records``; images and histograms up to the
        last of them are copied from the latest file.
        """
        self._start, folder = start, self._run.path
        earlier = sorted(folder.glob("*tfevents*"), key=lambda p: p.stat().st_mtime)
        kept = _images(earlier[-1], up_to=records[-1]["examples"]) if records and earlier else []
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
        # Renamed when complete, so that a kill leaves the earlier file.
        texts = [text(f"about/{key}", value) for key, value in about(self._run).items()]
        with beside(path) as temporary:
            self._events = EventFile(temporary, wall_time=start)
            started = _session(metadata.SESSION_START_INFO_TAG, data)
            self._events.add([started, *texts], wall_time=start)
            for record in records:
                while kept and kept[0].step < record["examples"]:
                    self._events.write_event(kept.pop(0))
                self.add_record(record)
            for event in kept:
                self._events.write_event(event)
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
            # TensorBoard uses the last layout; a chart without data would stay empty.
            self._charted |= new
            self.add_shown(record, [run_layout(self._charted)])

    def add_shown(self, position: Mapping[str, Any], shown: Sequence["Summary.Value"]) -> None:
        """Write values, such as images and histograms, at the position of a record."""
        at = self._start + position["wall_s"]
        self._events.add(shown, step=position["examples"], wall_time=at)

    def flush(self) -> None:
        """Flush buffers, which a killed run would lose."""
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
    """Return configuration, command and versions as Markdown, if their files exist."""
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
    # The fence must be longer than any in the text.
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}{language}\n{printable(text.rstrip())}\n{fence}"


def _session(tag: str, data: HParamsPluginData) -> "Summary.Value":
    return Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data))


def _images(path: Path, *, up_to: int) -> list[Event]:
    """Return the image and histogram events of a file up to a step."""
    return [
        event
        for event in read_events(path)
        if event.step <= up_to
        and any(value.WhichOneof("value") in ("image", "histo") for value in event.summary.value)
    ]
