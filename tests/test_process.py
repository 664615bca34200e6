"""The command as a process: its signals, its streams, its limits, a machine without a home."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from urllib.request import urlopen

import pytest

from losslab.tensorboard import EventFile, scalars
from report.factory import write_run
from running import TINY

STOPPED = "losslab: stopped; finished runs are kept, and the same command resumes\n"


def start(folder, *arguments, before=None, **more):
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"} | more
    command = [sys.executable, "-m", "losslab", *arguments]
    return subprocess.Popen(command, cwd=folder, preexec_fn=before, **more)


@pytest.fixture
def runs(tmp_path):
    write_run(tmp_path / "runs", "σ-0a/seed=0")
    return tmp_path


def closed():
    os.close(1)


NARROW = {"LC_ALL": "C", "PYTHONUTF8": "0"}


@pytest.mark.parametrize(
    ("environment", "before", "shows"),
    [
        ({"PYTHONIOENCODING": "ascii"}, None, "\\u03c3"),
        (NARROW, None, "Written: runs/report.md"),
        ({"PYTHONIOENCODING": "utf-8"}, None, "σ"),
        ({}, closed, ""),
        ({"HOME": "/proc/nowhere", "TMPDIR": "/nowhere"}, None, "Written: runs/report.md"),
    ],
)
def test_a_report_wherever_it_is_shown(runs, environment, before, shows):
    report = start(runs, "report", "runs", env=os.environ | environment, before=before)
    out, err = report.communicate()
    assert (report.returncode, "Traceback" in err) == (0, False), err
    assert shows in out
    # A narrow locale reads the folder's own name as bytes.
    assert environment is NARROW or "σ" in (runs / "runs" / "report.md").read_text("utf-8")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_pipe_that_nobody_reads(runs, stream):
    read, write = os.pipe()
    os.close(read)
    arguments = ("report", "runs" if stream == "stdout" else "nowhere")
    report = start(runs, *arguments, **{stream: write})
    os.close(write)
    shown = report.communicate()
    assert (report.returncode, any(shown)) == (0 if stream == "stdout" else 2, False), shown
    assert stream == "stderr" or (runs / "runs" / "report.md").exists()


def test_what_cannot_be_shown_or_read_is_one_line(runs):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        report = start(runs, "report", "runs", stdout=full)
    assert "No space left" in report.communicate()[1]
    assert report.returncode == 2
    train = start(runs, "train", "name=Größe", env=os.environ | NARROW)
    (line,) = train.communicate()[1].splitlines()
    assert "PYTHONUTF8=1" in line
    assert train.returncode == 2


@pytest.mark.slow
def test_no_home(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import pwd\ndef getpwuid(uid):\n    raise KeyError(uid)\npwd.getpwuid = getpwuid\n"
    )
    gone = ("HOME", "USER", "LOGNAME", "LOSSLAB_CACHE", "LOSSLAB_DATA")
    env = {k: v for k, v in os.environ.items() if k not in gone} | {"PYTHONPATH": str(tmp_path)}
    tiny = ("model=linear", "trainer.epochs=1", "trainer.device=cpu")
    for data, code in (("mnist5k", 2), ("mnist", 2), ("synthetic", 0)):
        train = start(tmp_path, "train", *tiny, f"data={data}", env=env)
        err = train.communicate()[1]
        assert train.returncode == code, err
        assert ("data.cache_dir=... or null" in err, err.count("\n")) == (code == 2, code // 2)


COMMANDS = {
    "run": ("train", *TINY),
    "sweep": ("train", "-m", *TINY[:-1], "launcher.workers=2", "seed=0,1,2"),
    "list": ("list",),
    "study": ("study", "identities"),
    "complete": ("-sc", "query=bash"),
    "report": ("report", "runs"),
    "board": ("board", "runs", "--port", "0"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_signal_at_any_moment(runs, name):
    chance = random.Random(name)
    for number in (signal.SIGINT, signal.SIGTERM) * 3:
        to = chance.choice([os.kill, os.killpg])
        env = os.environ | {"COMP_LINE": "losslab train loss=me"}
        command = start(
            runs,
            *COMMANDS[name],
            env=env,
            start_new_session=True,
            before=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        with suppress(subprocess.TimeoutExpired):  # before 0.3 s it is Python that starts
            command.wait(chance.uniform(0.3, 6))
        ended = command.poll() is not None
        if not ended:
            to(command.pid, number)
        err = command.communicate(timeout=60)[1]
        assert "Traceback" not in err
        # At the very end Python has put back what the system does.
        assert ended or command.returncode in (128 + number, -number), err
        lines = err.removeprefix("TensorBoard caught SIGTERM; exiting...\n")
        assert ended or name in ("board", "sweep") or lines in ("", STOPPED, "losslab: stopped\n")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    for index in range(2000):
        run = folder / f"mse-{index}" / "seed=0"
        run.mkdir(parents=True)
        file = EventFile(run / "events.out.tfevents.1.x", wall_time=1.0)
        file.add(scalars({"val/accuracy": 0.5}), wall_time=1.0, step=1)
        file.close()
    return folder


@pytest.mark.slow
def test_a_board_of_more_runs_than_files_may_be_open(many, tmp_path):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 3000:
        pytest.skip("this system allows no more files")

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))

    with (tmp_path / "log").open("w") as log:
        board = start(many, "board", ".", "--port", "0", stdout=log, stderr=log, before=limit)
    try:
        found, deadline = [], time.monotonic() + 240
        while len(found) < 2000:
            time.sleep(1)
            said = (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (len(found), said)
            if "http://" in said:
                url = "http://" + said.partition("http://")[2].split()[0]
                found = json.load(urlopen(f"{url}data/runs"))
    finally:
        board.send_signal(signal.SIGINT)
        assert board.wait(240) == 130
    assert "losslab: stopped" in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_a_board_that_may_not_open_enough_files_says_so(many, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))

    with (tmp_path / "log").open("w") as log:
        board = start(many, "board", ".", "--port", "0", stdout=log, stderr=log, before=limit)
    deadline = time.monotonic() + 240
    while "2000 event files" not in (tmp_path / "log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    board.terminate()
    assert board.wait(240) == 143


def test_a_pipe_among_event_files(losslab):
    os.mkfifo(losslab.folder / "events.out.tfevents.1")
    result = losslab.call("board", ".", "--port", "0")
    assert (result.code, "not a regular file" in result.err) == (2, True)
