"""``losslab board`` as a command; what its pages show is tested in a browser."""

import json
import re
import subprocess
import time

from browsing import board_on, command
from losslab.tensorboard import read_events
from report.factory import write_run
from running import records


def record(path):
    at = {"step": 0, "examples": 0, "epoch": 0, "wall_s": 0.0}
    (path / "metrics.jsonl").write_text(json.dumps(at | {"val/accuracy": 0.5}) + "\n")


def test_links_are_printed_and_the_answer_is_opened(tmp_path):
    for study in ("old", "new"):
        record(write_run(tmp_path / study, "mse-lr=0.1-0a/seed=0", manifest={"end": study}))
    (tmp_path / "browser").write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    (tmp_path / "browser").chmod(0o755)
    opened = tmp_path / "opened"
    browser = {"BROWSER": f"{tmp_path}/browser %s", "DISPLAY": ""}
    with board_on(tmp_path, ".", "--open", runs=2, **browser) as (address, links):
        assert list(links) == ["answer", "mechanisms", "table"]
        # The latest by the end of its runs, as a string here.
        assert all(link.startswith(address) for link in links.values())
        assert "old/best" in links["answer"]
        assert links["answer"].endswith("#timeseries")
        deadline = time.monotonic() + 60
        while not (opened.exists() and opened.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert opened.read_text().strip() == links["answer"]


def test_without_a_finished_run_it_says_so_and_starts(tmp_path):
    write_run(tmp_path, "mse-0a/seed=0", status="running")
    with subprocess.Popen(
        command("board", ".", "--port", "0"), cwd=tmp_path, stdout=-1, stderr=-2, text=True
    ) as process:
        said = []
        while not said or "no links yet" not in said[-1]:
            said.append(process.stdout.readline())
            assert said[-1], said
        process.terminate()
    assert any(re.search(r"http://127\.0\.0\.1:\d+/", line) for line in said)
    assert not (tmp_path / "best").exists()


def test_thirty_tags_are_shown_and_all_if_asked_for(losslab):
    brief, full = losslab.run(), losslab.run("trainer.all_tags=true")
    assert brief.parent.name == full.parent.name  # what is shown changes no result
    shown = [
        {value.tag for (path,) in [[*run.glob("*tfevents*")]] for event in read_events(path)
         for value in event.summary.value if value.HasField("simple_value")}
        for run in (brief, full)
    ]  # fmt: skip
    assert 25 <= len(shown[0]) <= 35
    recorded = {tag for record in records(full) for tag in record if "/" in tag}
    assert shown[0] < recorded | {"time/examples_per_s"} == shown[1]
