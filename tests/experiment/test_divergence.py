"""Divergence is a result: the run ends early, counts, and is never run again."""

import math

import pytest
from tensorboard.plugins.hparams import api_pb2, metadata

from losslab import report
from losslab.metrics import accuracy
from losslab.recording import read_predictions, read_records
from losslab.report.selectors import number
from losslab.tensorboard import read_events
from running import read, records, status

HUGE = ("loss=mse", "optimizer.lr=1e6", "trainer.epochs=9", "trainer.log_every=1")


@pytest.fixture
def diverged(losslab):
    return losslab, losslab.finished(*HUGE)


def test_it_ends_early_with_finite_numbers_only(losslab):
    assert losslab.train(*HUGE).out.startswith("diverged: test accuracy")
    (run,) = losslab.runs()
    assert status(run) == "diverged"
    summary = read(run / "summary.json")
    assert summary["step"] < 9 * 12
    assert 0.0 <= summary["test/accuracy"] <= 1.0
    assert all(math.isfinite(value) for value in summary.values())
    assert "NaN" not in (run / "metrics.jsonl").read_text()
    assert "Infinity" not in (run / "metrics.jsonl").read_text()
    assert records(run)[-1]["step"] == summary["step"]
    assert not (run / "checkpoint.pt").exists()
    names = {path.name for path in run.iterdir()}
    assert {"model.safetensors", "predictions.safetensors", "manifest.json"} <= names


def test_its_last_update_counts(losslab):
    run = losslab.run("loss=mse", "optimizer.lr=3e38", "trainer.steps=1")
    assert status(run) == "diverged"


def test_it_is_not_run_again(diverged):
    losslab, run = diverged
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    losslab.train(*HUGE)
    assert {path: path.stat().st_mtime_ns for path in run.iterdir()} == before


def test_it_counts_in_the_report(diverged):
    losslab, run = diverged
    (loaded,) = report.load_runs(run.parents[1])
    assert (loaded.status, loaded.finished) == ("diverged", True)
    assert number(loaded, "test/accuracy") == read(run / "summary.json")["test/accuracy"]
    result = losslab.call("report", "outputs/runs")
    assert result.code == 0, result.err
    assert "1 diverged" in (run.parents[1] / "report.md").read_text()


def test_where_it_is_found_does_not_depend_on_the_cadence_of_logging(losslab):
    # At most 50 steps after it happened, or at the end of the epoch.
    often, seldom = (losslab.run(*HUGE, f"trainer.log_every={n}") for n in (1, 1000))
    assert status(seldom) == "diverged"
    assert read(often / "summary.json")["step"] == read(seldom / "summary.json")["step"]
    assert read_records(seldom / "metrics.jsonl")[-1]["step"] == 12


def test_validation_numbers_are_those_of_the_final_weights(diverged):
    _, run = diverged
    summary = read(run / "summary.json")
    stored = read_predictions(run / "predictions.safetensors", "val")
    assert summary["val/accuracy"] == pytest.approx(float(accuracy(*stored)))


def test_tensorboards_table_has_it_as_no_success(diverged):
    losslab, run = diverged
    (finished,) = losslab.run("loss=mse").glob("events*")
    (file,) = run.glob("events*")
    assert [ended(path) for path in (file, finished)] == [
        api_pb2.STATUS_FAILURE,
        api_pb2.STATUS_SUCCESS,
    ]


def ended(file):
    """Return the status in an event file."""
    (content,) = (
        value.metadata.plugin_data.content
        for event in read_events(file)
        for value in event.summary.value
        if value.tag == metadata.SESSION_END_INFO_TAG
    )
    return metadata.parse_session_end_info_plugin_data(content).status
