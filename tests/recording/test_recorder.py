import json
import math

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.util.tensor_util import make_ndarray

from losslab.recording import Recorder, Run, manifest, read_records
from losslab.recording import recorder as module
from losslab.tensorboard import RunWriter, image


def open_recorder(folder, **options) -> Recorder:
    folder.mkdir(exist_ok=True)
    run = Run.at(folder)
    writer = RunWriter(run, hyper_parameters={"loss": "mse"}, group="runs/mse")
    return Recorder(run, views=[writer], **options)


def write(recorder: Recorder, steps) -> None:
    for step in steps:
        recorder.record(
            {"train/objective": 1 / step},
            step=step,
            examples=32 * step,
            epoch=step / 4,
            shown=[image("an/image", b"png", width=1, height=step)] if step % 2 else None,
        )


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    """Return tag to (step, value) as TensorBoard reads them, unsampled."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def images(folder) -> list[tuple[int, int]]:
    """Return (step, height) of the images, as TensorBoard reads them."""
    events = EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    return [(event.step, event.height) for event in events.Images("an/image")]


def test_every_number_is_in_both_files_once_over_examples_seen(tmp_path):
    recorder = open_recorder(tmp_path)
    write(recorder, range(1, 2001))
    recorder.close(success=True)
    records = read_records(tmp_path / "metrics.jsonl")
    assert list(records[0]) == ["step", "examples", "epoch", "wall_s", "train/objective"]
    assert [record["step"] for record in records] == list(range(1, 2001))
    (shown,) = scalars(tmp_path).values()
    assert [step for step, _ in shown] == [record["examples"] for record in records]
    assert [value for _, value in shown] == pytest.approx(
        [record["train/objective"] for record in records], rel=1e-6
    )


def test_a_number_that_is_not_finite_is_absent(tmp_path):
    recorder = open_recorder(tmp_path)
    values = {"train/objective": math.nan, "train/likelihood": math.inf, "val/accuracy": 0.0}
    recorder.record(values, step=1, examples=32, epoch=1.0)
    recorder.close(success=True)
    (record,) = read_records(tmp_path / "metrics.jsonl")
    assert {tag for tag in record if "/" in tag} == {"val/accuracy"}
    assert scalars(tmp_path) == {"val/accuracy": [(32, 0.0)]}


def test_what_was_flushed_is_readable_while_the_run_goes_on(tmp_path):
    recorder = open_recorder(tmp_path)
    write(recorder, [1, 2])
    recorder.flush()
    try:
        assert [record["step"] for record in read_records(tmp_path / "metrics.jsonl")] == [1, 2]
        assert scalars(tmp_path)["train/objective"] == [(32, 1.0), (64, 0.5)]
    finally:
        recorder.close(success=True)


def test_a_resumed_run_repeats_no_record(tmp_path):
    first = open_recorder(tmp_path)
    write(first, range(1, 8))
    first.close(success=False)
    second = open_recorder(tmp_path, after_step=4)
    write(second, range(5, 11))
    second.close(success=True)
    records = read_records(tmp_path / "metrics.jsonl")
    assert [record["step"] for record in records] == list(range(1, 11))
    walls = [record["wall_s"] for record in records]
    assert walls == sorted(walls)
    assert [step for step, _ in scalars(tmp_path)["train/objective"]] == [
        32 * step for step in range(1, 11)
    ]
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1


def test_a_resumed_run_keeps_each_image_once(tmp_path):
    whole = open_recorder(tmp_path / "whole")
    write(whole, range(1, 11))
    whole.close(success=True)
    stopped = open_recorder(tmp_path / "stopped")
    write(stopped, range(1, 8))
    stopped.close(success=False)
    (file,) = (tmp_path / "stopped").glob("events*")
    file.write_bytes(file.read_bytes()[:-3])  # killed in the middle of a write
    again = open_recorder(tmp_path / "stopped", after_step=4)
    write(again, range(5, 11))
    again.close(success=True)
    assert images(tmp_path / "stopped") == images(tmp_path / "whole")
    assert [height for _, height in images(tmp_path / "whole")] == [1, 3, 5, 7, 9]
    assert scalars(tmp_path / "stopped") == scalars(tmp_path / "whole")
    files = {path.name.split(".")[0] for path in (tmp_path / "stopped").iterdir()}
    assert files == {"events", "metrics", "curves"}


def test_an_event_file_that_is_gone_or_damaged_stops_no_run(tmp_path):
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"nothing")):
        write(first := open_recorder(tmp_path), [1, 2, 3])
        first.close(success=False)
        damage(next(tmp_path.glob("events*")))
        write(second := open_recorder(tmp_path, after_step=2), [3, 4])
        second.close(success=True)
        assert [step for step, _ in scalars(tmp_path)["train/objective"]] == [32, 64, 96, 128]


def test_what_a_run_is_can_be_read(tmp_path):
    run = Run.at(tmp_path)
    run.files.config.write_text("loss:\n  lr: 0.1\n")
    run.files.manifest.write_text(
        json.dumps({"command": "losslab train", "choices": {"a": "b"}, "commit": "0123"})
    )
    open_recorder(tmp_path).close(success=True)
    events = EventAccumulator(str(tmp_path)).Reload()
    texts = {
        tag: make_ndarray(events.Tensors(tag)[0].tensor_proto).item().decode()
        for tag in events.PluginTagToContent("text")
    }
    assert set(texts) == {"about/config", "about/command", "about/versions"}
    assert "lr: 0.1" in texts["about/config"]
    assert "losslab train" in texts["about/command"]
    assert "| commit | 0123 |" in texts["about/versions"]
    assert "choices" not in texts["about/versions"]


def test_a_long_epoch_shows_before_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_FLUSHES", 0.0)
    recorder = open_recorder(tmp_path)
    try:
        write(recorder, [1])
        assert scalars(tmp_path)["train/objective"] == [(32, 1.0)]
    finally:
        recorder.close(success=True)


def test_a_fresh_run_keeps_nothing_of_the_last_one(tmp_path):
    write(first := open_recorder(tmp_path), [1, 2, 3])
    first.close(success=False)
    write(second := open_recorder(tmp_path), [1])
    second.close(success=True)
    assert [record["step"] for record in read_records(tmp_path / "metrics.jsonl")] == [1]
    assert scalars(tmp_path)["train/objective"] == [(32, 1.0)]


@pytest.mark.parametrize("tail", ['{"step": 3, "examples": 9', "\n", "{", '{"step": 3'])
def test_a_half_written_last_line_is_dropped(tmp_path, tail):
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step, "wall_s": 0.5}) for step in (1, 2)]
    path.write_text("\n".join(lines) + "\n" + tail)
    assert [record["step"] for record in read_records(path)] == [1, 2]
    log = module.RecordLog(path, after_step=2)
    log.append({"step": 3, "val/accuracy": 0.25})
    log.close()
    assert [record["step"] for record in read_records(path)] == [1, 2, 3]
    assert len(path.read_text().splitlines()) == 3


def test_no_file_is_no_record(tmp_path):
    assert read_records(tmp_path / "metrics.jsonl") == []


def layout_of(folder) -> list[str]:
    """Return the tags of the charts that TensorBoard's page shows of a run: of the last layout."""
    events = EventAccumulator(str(folder)).Reload()
    last = events.Tensors("custom_scalars__config__")[-1]
    layout = layout_pb2.Layout.FromString(make_ndarray(last.tensor_proto).item())
    return [chart.multiline.tag[0] for each in layout.category for chart in each.chart]


def test_charts_are_those_of_the_recorded_tags(tmp_path):
    recorder = open_recorder(tmp_path)
    recorder.record({"val/nll": 1.0, "train/objective": 1.0}, step=0, examples=0, epoch=0)
    recorder.flush()
    assert layout_of(tmp_path) == ["^val/nll$"]
    recorder.record({"val/nll": 1.0, "why/plateau/left": 1.0}, step=1, examples=1, epoch=1)
    recorder.close(success=True)
    assert layout_of(tmp_path) == ["^val/nll$", "^why/plateau/left$"]


@pytest.mark.parametrize("all_tags", [False, True])
def test_details_are_in_the_file_and_in_tensorboard_if_asked_for(tmp_path, all_tags):
    run = Run.at(tmp_path)
    writer = RunWriter(run, hyper_parameters={}, group="a", all_tags=all_tags)
    recorder = Recorder(run, views=[writer])
    kept, details = ["train/nll", "why/mine/number"], ["train/ece", "why/layers/weight_norm/output"]
    recorder.record(dict.fromkeys(kept + details, 1.0), step=0, examples=0, epoch=0)
    recorder.close(success=True)
    assert {*read_records(tmp_path / "metrics.jsonl")[0]} >= {*kept, *details}
    assert set(scalars(tmp_path)) == {*kept, *(details if all_tags else [])}


def test_versions_are_looked_up_once_a_process(monkeypatch):
    about = {"command": "", "device": "cpu", "threads": 1, "choices": {}}
    first = manifest(**about)

    def refused(name):
        raise AssertionError(name)

    monkeypatch.setattr("importlib.metadata.version", refused)
    assert manifest(**about) == first
