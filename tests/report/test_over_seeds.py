"""Means over seeds for TensorBoard: right, where nothing takes them for runs, and written once."""

import json
import shutil
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
from scipy import stats
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from losslab.report import build, load_runs
from losslab.report.over_seeds import FOLDER, means_over_seeds
from report.factory import write_run

CURVES = {0: (0.1, 0.5, 0.8), 1: (0.2, 0.7, 0.7), 2: (0.1, 0.6, 0.9)}


def write_curve(root, group, seed, values, *, status="done"):
    path = write_run(root, f"{group}/seed={seed}", status=status)
    records = [
        {"step": 4 * place, "examples": 100 * place, "wall_s": place / 2, "val/accuracy": value}
        for place, value in enumerate(values)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def sweep(tmp_path):
    for seed, values in CURVES.items():
        write_curve(tmp_path / "sweep", "mse-0a", seed, values)
    return tmp_path / "sweep"


def shown(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: {event.step: event.value for event in events.Scalars(tag)}
        for tag in events.Tags()["scalars"]
    }


def files(root):
    return {path: path.stat().st_mtime_ns for path in (root / FOLDER).rglob("*") if path.is_file()}


def test_mean_and_interval_are_those_of_scipy(sweep):
    build(sweep)
    found = shown(sweep / FOLDER / "mse-0a")
    assert set(found) == {f"val/accuracy/{part}" for part in ("mean", "lo", "hi")}
    for place, values in enumerate(zip(*CURVES.values(), strict=True)):
        mean = np.mean(values)
        low, high = stats.t.interval(0.95, 2, loc=mean, scale=stats.sem(values))
        expected = {"mean": mean, "lo": max(low, 0), "hi": min(high, 1)}
        for part, value in expected.items():
            assert found[f"val/accuracy/{part}"][100 * place] == pytest.approx(value, rel=1e-6)


def test_no_report_takes_them_for_runs_and_a_second_one_writes_nothing(sweep):
    _, results, *_ = build(sweep)
    first, before = results.read_bytes(), files(sweep)
    build(sweep)
    assert results.read_bytes() == first
    assert files(sweep) == before
    assert len(load_runs(sweep)) == len(load_runs(sweep.parent)) == len(CURVES)


def test_another_seed_replaces_the_file_and_what_is_gone_goes(sweep):
    write_curve(sweep, "brier-0b", 0, (0.1, 0.2))
    build(sweep)
    before = {path.parent.name: path for path in files(sweep)}
    (sweep / "mine").mkdir()
    for path in (sweep / "brier-0b").rglob("*"):
        path.is_file() and path.unlink()
    (sweep / "brier-0b" / "seed=0").rmdir()
    write_curve(sweep, "mse-0a", 3, (0.0, 0.0, 0.0))
    build(sweep)
    (path,) = files(sweep)
    assert path.parent == before["mse-0a"].parent
    assert path != before["mse-0a"]
    assert not (sweep / FOLDER / "brier-0b").exists()
    assert shown(path.parent)["val/accuracy/mean"][200] == pytest.approx(2.4 / 4)


def test_a_report_on_one_configuration_leaves_the_others_alone(sweep):
    write_curve(sweep, "brier-0b", 0, (0.1, 0.2))
    build(sweep)
    before = files(sweep)
    build(sweep / "mse-0a", out=sweep)
    build(sweep / "brier-0b" / "seed=0", out=sweep)
    assert files(sweep) == before


def test_a_single_seed_is_its_own_interval(tmp_path):
    write_curve(tmp_path, "mse-0a", 0, (0.25, 0.5))
    build(tmp_path)
    assert shown(tmp_path / FOLDER / "mse-0a") == {
        f"val/accuracy/{part}": {0: 0.25, 100: 0.5} for part in ("mean", "lo", "hi")
    }


def test_mean_and_ends_have_the_same_steps_where_seeds_have_different_ones(sweep):
    write_curve(sweep, "mse-0a", 5, (0.1, 0.2, 0.3, 0.4))
    build(sweep)
    found = shown(sweep / FOLDER / "mse-0a")
    assert {tuple(steps) for steps in found.values()} == {(0, 100, 200, 300)}


def test_a_number_beyond_float32_is_absent_from_mean_and_ends_alike(sweep):
    for seed, largest in enumerate((1e30, 3e38)):
        path = write_curve(sweep, "mse-0b", seed, (0.1, largest, 0.3)) / "metrics.jsonl"
        path.write_text(path.read_text().replace("val/accuracy", "val/nll"))
    build(sweep)
    found = shown(sweep / FOLDER / "mse-0b")
    assert {tuple(steps) for steps in found.values()} == {(0, 200)}


def test_a_diverged_run_counts_to_the_end_and_an_unfinished_one_not_at_all(sweep):
    write_curve(sweep, "mse-0a", 8, (0.2, 0.1), status="diverged")
    write_curve(sweep, "mse-0a", 9, (1.0, 1.0, 1.0), status="failed")
    runs = [run for run in load_runs(sweep) if run.finished]
    means = means_over_seeds(runs, ["val/accuracy", "val/nll"])
    assert means.x.tolist() == [0, 100, 200]
    assert means.seconds.tolist() == pytest.approx([0, 0.5, 0.875])
    assert means.tags == tuple(f"val/accuracy/{part}" for part in ("mean", "lo", "hi"))
    assert means.values[0, 2] == pytest.approx((0.8 + 0.7 + 0.9 + 0.1) / 4)
    assert means_over_seeds([], ["val/accuracy"]).tags == ()  # of an arm that is not confirmed yet


def test_runs_that_cannot_be_written_to_are_reported_on(sweep, tmp_path, monkeypatch):
    def refuse(self, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(self))

    with monkeypatch.context() as patch:
        patch.setattr("losslab.report.over_seeds.EventFile", refuse)
        _, results, *_ = build(sweep, out=tmp_path)
    assert json.loads(results.read_text("utf-8"))["runs"]["complete"]
    assert files(sweep) == {}


def test_many_configurations_are_drawn_on_all_cores_to_the_same_files(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise BrokenProcessPool

    for index in range(8):
        write_curve(tmp_path / "sweep", f"mse-{index:08x}", 0, CURVES[0])
    written = []
    for n, how in ((1, None), (2, None), (2, broken)):  # workers may be killed
        monkeypatch.setattr("losslab.report.over_seeds.cores", lambda n=n: n)
        if how:
            monkeypatch.setattr("losslab.report.over_seeds.in_workers", how)
        build(tmp_path / "sweep")
        folder = tmp_path / "sweep" / FOLDER
        written.append({path.parent: path.read_bytes() for path in folder.rglob("*.over_seeds")})
        shutil.rmtree(folder)
    assert len(written[0]) == 8
    assert written[1] == written[0]
    assert written[2] == written[0]
