"""Forecast a command: how many runs, and how long they take."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from omegaconf import OmegaConf

from losslab.files import YAML_LOADER, read_json, read_yaml, shown
from losslab.launchers.base import Launcher
from losslab.recording import Run, configuration_of, last_record, run_folders
from losslab.text import duration

_MOST_READ = 200  # configurations; each takes milliseconds
# Settings of the trainer that do not change the time per epoch.
_NOT_IN_KIND = ("epochs", "steps", "log_every", "checkpoint_every")
_PLACES = ("root", "cache_dir", "download")


@dataclass(frozen=True)
class Forecast:
    """The runs of a command."""

    runs: Sequence[Run]  # known runs
    more: int = 0  # at most how many more, depending on results
    like: Sequence[Run] = ()  # examples of those, in addition to ``runs``
    shared: int = 0  # number of known runs that another study has finished
    notes: Sequence[str] = ()  # further lines

    def lines(self, launcher: Launcher) -> list[str]:
        """Return the forecast as lines of text."""
        pending = [run for run in self.runs if run.pending]
        resumed = sum(run.status == "running" for run in pending)
        text = f"{len(self.runs)} run{'s' * (len(self.runs) != 1)}: "
        text += f"{len(self.runs) - len(pending)} done, {len(pending)} to do"
        details = [f"{resumed} already started"] * bool(resumed)
        details += [f"{self.shared} shared with another study"] * bool(self.shared)
        text += f" ({', '.join(details)})" if details else ""
        text += f"; then up to {self.more} more, depending on the results" if self.more else ""
        if not self.runs:
            text = f"up to {self.more} runs, depending on the results"
        return [text, *self._time(pending, launcher), *self.notes]

    def _time(self, pending: Sequence[Run], launcher: Launcher) -> list[str]:
        examples = [*self.like, *self.runs]
        if not (pending or self.more) or not examples:
            return []
        speeds = _speeds(examples[0].root)
        seconds = {run: _seconds(run, speeds) for run in dict.fromkeys([*pending, *examples])}
        known = [time for run in pending if (time := seconds[run]) is not None]
        typical = [time for run in examples if (time := seconds[run]) is not None]
        if self.more and typical:
            known += [sum(typical) / len(typical)] * self.more
        folder = shown(examples[0].root.absolute())
        if not known:
            return [
                f"time unknown: {folder} has no finished run with the same data, model, optimizer, "
                "trainer and diagnostics"
            ]
        if launcher.at_once is None:
            total = f"{duration(sum(known))} of training, divided by how many run at once"
        else:
            workers = min(launcher.at_once, len(known))
            total = f"{duration(max(sum(known) / workers, *known, 0))} with {workers} at once"
        lines = [f"about {total}, at the speed of the finished runs in {folder}"]
        unknown = len(pending) + self.more - len(known)
        if unknown:
            lines.append(f"not counted: {unknown} runs unlike any finished one")
        return lines


def _kind(config: Mapping[str, Any]) -> str:
    """Return, as text, the part of a configuration that decides how long an epoch takes."""

    def node(group: str, without: Collection[str] = ()) -> dict[str, Any]:
        values = config.get(group)
        values = values if isinstance(values, Mapping) else {}
        return {key: value for key, value in values.items() if key not in without}

    trainer, optimizer = node("trainer", _NOT_IN_KIND), node("optimizer").get("_target_")
    parts = node("data", _PLACES), node("model"), trainer, node("diagnostics"), optimizer
    return json.dumps(parts, sort_keys=True, default=str)


def _speeds(root: Path) -> dict[str, tuple[float, float]]:
    """Return the median seconds per epoch and per step, over configurations of each kind."""
    speeds: dict[str, list[tuple[float, float]]] = {}
    seen: set[Path] = set()
    for path in sorted(run_folders(root)) if root.is_dir() else ():
        folder = configuration_of(path)
        if folder in seen or len(seen) == _MOST_READ or not (run := Run.at(path)).finished:
            continue
        try:
            config = yaml.load(read_yaml(run.files.config), Loader=YAML_LOADER)
            summary = read_json(run.files.summary)
            seconds = last_record(run.files.metrics)["wall_s"]
            speed = seconds / summary["epoch"], seconds / summary["step"]
        except (OSError, ValueError, LookupError, TypeError, ZeroDivisionError):
            continue  # use other runs of its kind
        seen.add(folder)
        speeds.setdefault(_kind(config), []).append(speed)
    return {
        kind: (median(epoch for epoch, _ in pairs), median(step for _, step in pairs))
        for kind, pairs in speeds.items()
    }


def _seconds(run: Run, speeds: Mapping[str, tuple[float, float]]) -> float | None:
    config: Any = OmegaConf.to_container(run.composed, resolve=True)
    steps, epochs = config["trainer"]["steps"], config["trainer"]["epochs"]
    per_epoch, per_step = speeds.get(_kind(config), (None, None))
    if per_epoch is None or per_step is None:
        return None
    return float(per_epoch * epochs if steps is None else per_step * steps)
