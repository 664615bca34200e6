"""What a terminal of 80 columns, and what a log, shows while runs are under way."""

import io
import json
import time
from dataclasses import replace

from omegaconf import OmegaConf
from rich.console import Console

from losslab.launchers import progress as progress_module
from losslab.launchers.progress import SweepProgress
from losslab.recording import Run
from report.factory import write_run

STATES = ("done", "failed", "running", "running")


def _write_runs(tmp_path):
    """Return runs that have not started, in the order of STATES."""
    config = OmegaConf.create({"trainer": {"epochs": 6, "steps": None}})
    runs = []
    for seed in range(len(STATES)):
        path = write_run(tmp_path, f"mse-0a/seed={seed}", curve=(0.5, 0.7, 0.9))
        (path / "status.json").write_text("{}")
        runs.append(replace(Run.at(path), composed=config))
    return runs


def _set_states(runs):
    for run, status in zip(runs, STATES, strict=True):
        (run.path / "status.json").write_text(json.dumps({"status": status}))


def test_it_tells_what_runs_what_is_best_and_the_time_left(tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    runs = _write_runs(tmp_path)
    with SweepProgress(runs, console=console, title="a_study_of_long_name: tune") as progress:
        _set_states(runs)
        progress._poll()
        shown = progress._progress.tasks[0]
    assert shown.fields["runs"].startswith("1/4 done, 2 running, 1 failed, best 90.0%, 0:00:0")
    epochs = json.loads(runs[-1].files.metrics.read_text().splitlines()[-1])["epoch"]
    assert shown.completed == 2 + 2 * epochs / 6


def test_the_time_left_follows_the_pace_of_the_latter_half(tmp_path, monkeypatch):
    """Ten runs of a second each, then ten of a minute: the last five take five minutes."""
    clock = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: clock[0])
    runs = [
        Run.at(write_run(tmp_path, f"mse-0a/seed={seed}", status="running")) for seed in range(20)
    ]
    for run in runs:
        (run.path / "status.json").write_text("{}")
    progress = SweepProgress(runs, console=Console(file=io.StringIO()), title="tune")
    for index, run in enumerate(runs[:15]):
        clock[0] += 1 if index < 10 else 60
        (run.path / "status.json").write_text(json.dumps({"status": "done"}))
        progress._poll()
    assert progress._progress.tasks[0].fields["runs"].endswith(", 0:05:00 left")


def test_a_log_has_a_line_for_each_further_tenth_a_while_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(progress_module, "SECONDS_BETWEEN_POLLS", 0.01)
    monkeypatch.setattr(progress_module, "SECONDS_BETWEEN_LINES", 0.02)
    console = Console(file=io.StringIO(), width=80)
    runs = _write_runs(tmp_path)
    with SweepProgress(runs, console=console, title="tune"):
        _set_states(runs)
        deadline = time.monotonic() + 30
        while "1 failed" not in console.file.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)  # nothing more is done
    first, *between, last = console.file.getvalue().splitlines()
    assert first == "tune: 4 runs"
    assert 1 <= len(between) <= len(STATES)
    assert between[-1].startswith("tune: 1/4 done, 2 running, 1 failed, best 90.0%, 0:00:")
    assert last == "tune: 1 done, 1 failed, 2 remaining"
