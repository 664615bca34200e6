"""What a terminal of 80 columns shows while runs are under way."""

import io
import json
from dataclasses import replace

from omegaconf import OmegaConf
from rich.console import Console

from losslab.launchers.progress import SweepProgress
from losslab.recording import Run
from report.factory import write_run

STATES = ("done", "failed", "running", "running")


def test_it_tells_what_runs_what_is_best_and_the_time_left(tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    config = OmegaConf.create({"trainer": {"epochs": 6, "steps": None}})
    runs = []
    for seed in range(len(STATES)):
        path = write_run(tmp_path, f"mse-0a/seed={seed}", curve=(0.5, 0.7, 0.9))
        (path / "status.json").write_text("{}")
        runs.append(replace(Run.at(path), composed=config))
    with SweepProgress(runs, console=console, title="a_study_of_long_name: tune") as progress:
        for run, status in zip(runs, STATES, strict=True):
            (run.path / "status.json").write_text(json.dumps({"status": status}))
        progress._look()
        shown = progress._progress.tasks[0]
    assert shown.fields["runs"].startswith("1/4 done, 2 running, 1 failed, best 90.0%, 0:00:0")
    epochs = json.loads((path / "metrics.jsonl").read_text().splitlines()[-1])["epoch"]
    assert shown.completed == 2 + 2 * epochs / 6
