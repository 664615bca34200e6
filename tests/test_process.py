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
from pathlib import Path
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


@pytest.mark.parametrize(("encoding", "shows"), [("ascii", "\\u03c3-0a"), ("utf-8", "σ-0a")])
def test_a_name_in_the_terminals_encoding(runs, encoding, shows):
    listed = start(runs, "runs", "runs", env=os.environ | {"PYTHONIOENCODING": encoding})
    out, err = listed.communicate()
    assert (listed.returncode, err, shows in out) == (0, "", True)


NARROW = {"LC_ALL": "C", "PYTHONUTF8": "0"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "before", "shows"),
    [
        (NARROW, None, "Written: runs/report.md"),
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "runs"),
        ("list",),
        ("train", "--help"),
        pytest.param(("train", *TINY, "name=kept"), marks=pytest.mark.slow),  # it trains
        ("--help",),
    ],
)
def test_output_to_a_full_disk(runs, arguments):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        command = start(runs, *arguments, stdout=full)
    (line,) = command.communicate()[1].splitlines()
    assert line == (
        "losslab: the output could not be written (No space left on device); finished runs are kept"
    )
    assert command.returncode == 1
    assert arguments[-1] != "name=kept" or list(runs.glob("outputs/kept/*/*/summary.json"))


def test_a_name_that_the_locale_cannot_read(runs):
    train = start(runs, "train", "name=Größe", env=os.environ | NARROW)
    (line,) = train.communicate()[1].splitlines()
    assert "PYTHONUTF8=1" in line
    assert train.returncode == 2


@pytest.mark.parametrize("gigabytes", [0.5, 2])
def test_too_little_memory(tmp_path, gigabytes):
    limit = int(gigabytes * 2**30)
    train = start(
        tmp_path,
        *("train", *TINY),
        before=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    (line,) = train.communicate()[1].splitlines()
    assert (line.startswith("losslab: memory ran out"), train.returncode) == (True, 2), line


@pytest.mark.parametrize("command", ["study", "verify"])
def test_a_log_is_not_empty_while_torch_is_imported(tmp_path, command):
    (tmp_path / "torch.py").write_text("import os\nos._exit(7)")  # before any output after it
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    studied = start(tmp_path, command, "why_squared_error", env=env)
    assert studied.stdout.readline().endswith("why_squared_error: planning its runs\n")
    assert (*studied.communicate(), studied.returncode) == ("", "", 7)


@pytest.mark.slow
def test_a_sweep_that_takes_long_to_check_says_so(tmp_path):
    sweep = start(tmp_path, "train", "-m", *TINY[:-1], "seed=range(0,20000)")
    assert sweep.stdout.readline().startswith("checking 20000 runs first: ")
    sweep.terminate()
    assert sweep.communicate()[1] == STOPPED


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


def is_importing(pid):
    caught = Path(f"/proc/{pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    return int(caught, 16) >> (signal.SIGTERM - 1) & 1


def is_starting_workers(pid):
    started = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    try:
        return sum("LokyProcess" in Path(f"/proc/{c}/cmdline").read_text() for c in started) == 2
    except FileNotFoundError:  # a child ended in between
        return False


@pytest.mark.parametrize(
    ("name", "moment", "line"),
    [
        ("list", is_importing, "losslab: stopped\n"),
        pytest.param("sweep", is_starting_workers, STOPPED, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts(tmp_path, name, moment, line, number):
    command = start(
        tmp_path,
        *COMMANDS[name],
        start_new_session=True,
        before=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not moment(command.pid):
        assert command.poll() is None
        time.sleep(0.001)
    time.sleep(0.3 if name == "sweep" else 0)  # Python starts in the workers
    os.killpg(command.pid, number)
    assert (command.communicate(timeout=60)[1], command.returncode) == (line, 128 + number)


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
