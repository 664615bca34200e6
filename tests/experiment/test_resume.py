"""A run that was stopped goes on and ends with the numbers it would have had."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from losslab.experiment import train as module
from losslab.recording import Recorder
from losslab.tensorboard import read_events
from running import LANDSCAPE, TINY, read, records, results, status

FOUR = (
    *("trainer.epochs=4", "model=small_cnn", "model.width=4", "trainer.log_every=1"),
    "trainer.pictures_every=1",
)


class Stop(BaseException):
    """The process is gone: nothing that catches errors may catch this."""


def stop_in(monkeypatch, owner, name, *, call: int, before: bool) -> None:
    """Make a function stop the run in its ``call``-th call, before or after what it does."""
    original, calls = getattr(owner, name), []

    def stopping(*arguments, **options):
        calls.append(1)
        if before and len(calls) == call:
            raise Stop
        value = original(*arguments, **options)
        if not before and len(calls) == call:
            raise Stop
        return value

    monkeypatch.setattr(owner, name, stopping)


PLACES = {
    "after the first checkpoint": (module, "save_checkpoint", 1, False),
    "before the second checkpoint": (module, "save_checkpoint", 2, True),
    "in the middle of an epoch": (Recorder, "record", 20, False),
    "before the first checkpoint": (Recorder, "record", 4, True),
    "between the results": (module, "_write_results", 1, False),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Undisturbed runs, by their overrides."""
    return tmp_path_factory.mktemp("undisturbed"), {}


@pytest.fixture
def stopped(losslab, monkeypatch, request, kept):
    """An undisturbed run and one that was stopped, of the same configuration."""
    more = request.param.get("more", ())
    folder, runs = kept
    if more not in runs:
        runs[more] = shutil.copytree(losslab.run(*FOUR, *more), folder / str(len(runs)))
    undisturbed = runs[more]
    owner, name, call, before = PLACES[request.param["place"]]
    with monkeypatch.context() as patch:
        stop_in(patch, owner, name, call=call, before=before)
        with pytest.raises(Stop):
            losslab.call("train", *TINY, *FOUR, *more)
    (run,) = losslab.runs()
    return losslab, undisturbed, run, request.param


def scalars(run):
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.startswith("time/")
    }


def shown(run):
    """Return what TensorBoard shows beside scalars and texts, without what tells the time."""
    (file,) = run.glob("events*")
    return [
        (event.step, value)
        for event in read_events(file)
        for value in event.summary.value
        if value.HasField("image") or value.HasField("histo")
    ]


CASES = [
    *({"place": place} for place in PLACES),
    {"place": "before the second checkpoint", "more": ("optimizer=adam", *LANDSCAPE)},
    {"place": "before the second checkpoint", "more": ("trainer.steps=30",)},
    {"place": "between the results", "more": ("trainer.steps=30",)},
    {"place": "between the results", "more": ("trainer.checkpoint_every=3",)},
    {"place": "before the second checkpoint", "more": ("model=deep_cnn", "model.width=2")},
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "stopped",
    CASES,
    indirect=True,
    ids=lambda case: " ".join([case["place"], *case.get("more", "")]),
)
def test_a_stopped_run_ends_as_if_nothing_had_happened(stopped):
    losslab, undisturbed, run, case = stopped
    assert status(run) == "running"
    assert not (run / "manifest.json").read_text().count('"end"')
    losslab.train(*FOUR, *case.get("more", ()))
    assert status(run) == "done"
    assert results(run) == results(undisturbed)
    assert records(run) == records(undisturbed)
    curves = records(run, "curves.jsonl")
    assert curves == records(undisturbed, "curves.jsonl")
    assert ("why/landscape/path" in curves[-1]) is (LANDSCAPE[0] in case.get("more", ()))
    assert not (run / "checkpoint.pt").exists()
    assert {path.name.split(".")[0] for path in run.iterdir()} == {
        path.name.split(".")[0] for path in undisturbed.iterdir()
    }
    assert len(list(run.glob("events*"))) == 1
    assert scalars(run) == scalars(undisturbed)
    assert shown(run) == shown(undisturbed)
    assert len(shown(run)) > 20
    about = read(run / "manifest.json")
    resumed = case["place"] != "before the first checkpoint"
    assert ("resumed_at_step" in about) is resumed
    assert ("resuming at step" in (run / "log.txt").read_text()) is resumed


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [{"place": "before the second checkpoint"}], indirect=True)
def test_a_half_written_last_line_is_dropped(stopped):
    losslab, undisturbed, run, _ = stopped
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 24, "exampl')
    losslab.train(*FOUR)
    assert records(run) == records(undisturbed)


@pytest.mark.parametrize("stopped", [{"place": "before the second checkpoint"}], indirect=True)
def test_force_starts_from_the_beginning(stopped):
    losslab, undisturbed, run, _ = stopped
    losslab.train(*FOUR, "force=true")
    assert results(run) == results(undisturbed)
    assert "resumed_at_step" not in read(run / "manifest.json")


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [{"place": "before the second checkpoint"}], indirect=True)
def test_a_cut_checkpoint_is_named_and_nothing_is_touched(stopped):
    losslab, undisturbed, run, _ = stopped
    checkpoint = run / "checkpoint.pt"
    whole = checkpoint.read_bytes()
    before = {path.name: path.read_bytes() for path in run.iterdir()} | {"checkpoint.pt": b""}
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for content in (whole[:middle], whole[:-1], b"", flipped):
        checkpoint.write_bytes(content)
        result = losslab.call("train", *TINY, *FOUR)
        assert (result.code, result.out) == (2, "")
        (line,) = result.err.splitlines()
        assert str(checkpoint.relative_to(losslab.folder)) in line
        assert "delete it" in line
        assert checkpoint.read_bytes() == content
        checkpoint.write_bytes(b"")
        assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    checkpoint.unlink()
    losslab.train(*FOUR)
    assert results(run) == results(undisturbed)


@pytest.mark.slow
def test_a_killed_process(losslab):
    # Enough epochs to be caught between two of them.
    many = (*FOUR, "trainer.epochs=20")
    undisturbed = losslab.run(*many)
    command = [sys.executable, "-m", "losslab", "train", *TINY, *many]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not list(losslab.folder.glob("outputs/runs/*/*/checkpoint.pt")):
            assert process.poll() is None, "ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGSTOP)
        (run,) = losslab.runs()
        assert status(run) == "running", "ended before it was stopped"
        busy = losslab.call("train", *TINY, *many)
        assert busy.code == 1
        assert "another process is running it" in busy.err
    finally:
        process.kill()
        process.wait()
    assert status(run) == "running"
    assert records(run)[-1]["step"] < 240
    losslab.train(*many)
    assert results(run) == results(undisturbed)
    assert records(run) == records(undisturbed)
    assert scalars(run) == scalars(undisturbed)
    assert shown(run) == shown(undisturbed)
