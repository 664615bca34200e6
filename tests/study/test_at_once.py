"""Two commands at once over the same outputs share the work."""

import random
import shutil
import signal
import sys
from pathlib import Path

import pytest

from killing import SWEEP, command, pause, sweep_contents, train_begins
from running import TINY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks and reads /proc"),
]


def trained(folder: Path) -> list[int]:
    """Return how often each run was trained to its end, from its log."""
    return [path.read_text().count(" after ") for path in sorted(folder.rglob("log.txt"))]


def begun(folder: Path) -> list[int]:
    return [path.read_text().count(", seed ") for path in sorted(folder.rglob("log.txt"))]


def reported(folder: Path, runs: Path) -> dict[str, bytes]:
    """Return what a report of the runs, of two at once, and of one more, all alike, wrote."""
    at_once = ("report", str(runs), "--to", "at_once")
    with command(folder, *at_once) as first, command(folder, *at_once) as second:
        assert (first.wait(), second.wait()) == (0, 0), first.err + second.err
    with command(folder, "report", str(runs), "--to", "alone") as alone:
        assert alone.wait() == 0, alone.err
    written = [
        {
            path.relative_to(folder / name).as_posix(): path.read_bytes()
            for path in (folder / name).rglob("*")
            if path.is_file()
        }
        for name in ("at_once", "alone")
    ]
    assert written[0] == written[1]
    return written[0]


def test_two_sweeps(tmp_path):
    with command(tmp_path, *SWEEP, "name=alone") as sweep:
        assert sweep.wait() == 0, sweep.err
    with command(tmp_path, *SWEEP) as first, command(tmp_path, *SWEEP) as second:
        assert (first.wait(), second.wait()) == (0, 0), first.err + second.err
        # joblib's tracker of temporary folders may warn when two processes end at once.
        assert "losslab: " not in first.err + second.err
    runs = tmp_path / "outputs" / "runs"
    assert sweep_contents(runs) == sweep_contents(tmp_path / "outputs" / "alone")
    assert begun(runs) == trained(runs) == 6 * [1]
    assert {"report.md", "results.json"} <= reported(tmp_path, runs).keys()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_of_two_sweeps_is_killed_and_the_other_takes_over(tmp_path, seed):
    chance = random.Random(seed)
    with command(tmp_path, *SWEEP) as first, command(tmp_path, *SWEEP) as second:
        train_begins(first, tmp_path / "outputs")
        pause(first, chance.uniform(0, 1))
        first.send(signal.SIGKILL, group=chance.random() < 0.7)
        first.wait()
        assert second.wait() == 0, second.err
    runs = tmp_path / "outputs" / "runs"
    assert len(sweep_contents(runs)) == 6
    assert trained(runs) == 6 * [1]


def test_a_sweep_waits_for_the_run_of_another_command(tmp_path):
    longer = ("trainer.epochs=150", "launcher=serial")
    with command(tmp_path, "train", *TINY, *longer) as single:
        train_begins(single, tmp_path / "outputs")
        with command(tmp_path, "train", "-m", *TINY, "seed=0,1", *longer) as sweep:
            assert sweep.wait() == 0, sweep.err
            assert single.ended()
            assert "another process is running 1 of them; waiting" in sweep.out
        assert single.wait() == 0
    assert begun(tmp_path / "outputs" / "runs") == [1, 1]


def test_two_builders_of_a_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "cache"))
    single = ("train", "data.train_size=100", "model=linear", "trainer.epochs=1")
    with (
        command(tmp_path, *single, "seed=0") as first,
        command(tmp_path, *single, "seed=1") as second,
    ):
        assert (first.wait(), second.wait()) == (0, 0), first.err + second.err
    kept = sorted(path.suffix for path in (tmp_path / "cache").iterdir())
    assert kept == [".safetensors", ".sha256"]
    shutil.rmtree(tmp_path / "cache")
    with command(tmp_path, *single, "seed=2") as third:
        assert third.wait() == 0
    warned = [path for path in tmp_path.rglob("log.txt") if "damaged" in path.read_text()]
    assert warned == []
