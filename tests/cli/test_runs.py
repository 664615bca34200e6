"""losslab runs: what is there, and its deletion."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bad import check, snapshot
from losslab.files import lock
from losslab.recording import Run
from report.factory import write_run


@pytest.fixture
def rates(losslab) -> Path:
    """A sweep of two configurations with a report, and a run of another sweep."""
    folder = losslab.folder / "outputs" / "rates"
    for seed in range(3):
        write_run(folder, f"mse-lr=0.1-0a/seed={seed}", config={"optimizer": {"lr": 0.1}})
    for seed, status in enumerate(("done", "failed", "running")):
        write_run(folder, f"brier-lr=1-0b/seed={seed}", status=status, accuracy=0.8)
    write_run(folder.parent / "more", "mse-lr=0.1-0a/seed=0")
    return folder


def rows(out: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in out.splitlines()[1:]}


def test_every_sweep_has_a_row(losslab, rates):
    code, out, err = losslab.call("runs")
    assert (code, err) == (0, "")
    found = rows(out)
    sizes = found["outputs/rates"][-2:]
    assert found["outputs/rates"][:-2] == [
        *("4", "done,", "1", "failed,", "1", "interrupted"),
        *("2", "3"),
    ]
    assert float(sizes[0]) > 10
    assert sizes[1] == "kB"
    assert found["outputs/more"][:4] == ["1", "done", "1", "1"]
    assert found["7"][0] == "runs"


def test_a_sweep_has_a_row_for_each_configuration(losslab, rates):
    found = rows(losslab.call("runs", "outputs/rates").out)
    assert found["outputs/rates/mse-lr=0.1-0a"][:4] == ["3", "done", "1", "3"]
    assert found["outputs/rates/brier-lr=1-0b"][6:8] == ["1", "3"]
    one = rows(losslab.call("runs", "outputs/rates/mse-lr=0.1-0a/seed=1").out)
    assert one["outputs/rates/mse-lr=0.1-0a"][:4] == ["1", "done", "1", "1"]
    # The same from within, and as an absolute path.
    os.chdir(rates)
    assert rows(losslab.call("runs", ".").out).keys() == {"mse-lr=0.1-0a", "brier-lr=1-0b", "6"}
    assert len(rows(losslab.call("runs", str(rates.parent)).out)) == 3


def test_the_size_is_that_on_the_disk(losslab, rates):
    before = losslab.call("runs", "outputs/more").out.split()[-2:]
    (rates.parent / "more" / "mse-lr=0.1-0a" / "seed=0" / "big").write_bytes(bytes(1_000_000))
    size, unit = losslab.call("runs", "outputs/more").out.split()[-2:]
    assert (unit, before[1]) == ("MB", "kB")
    assert float(size) == pytest.approx(1.0, abs=0.1)
    # Studies share files by links: counted once in all.
    run = rates / "mse-lr=0.1-0a" / "seed=0"
    os.link(rates.parent / "more" / "mse-lr=0.1-0a" / "seed=0" / "big", run / "log.txt")
    assert float(losslab.call("runs", "outputs/rates").out.split()[-2]) > 1
    total, unit = losslab.call("runs").out.split()[-2:]
    assert (float(total) < 1.5, unit) == (True, "MB")


def test_a_whole_sweep_is_deleted_with_its_report(losslab, rates):
    assert losslab.call("report", "outputs/rates").code == 0
    assert (rates / "figures").exists() or (rates / "report.md").exists()
    code, out, err = losslab.call("runs", "outputs/rates", "--delete", "--yes")
    assert (code, err) == (0, "")
    assert out.startswith("deleted: 6 runs and ")
    assert [path.name for path in (losslab.folder / "outputs").iterdir()] == ["more"]


def test_some_runs_are_deleted(losslab, rates):
    before = snapshot(rates / "brier-lr=1-0b")
    paths = ("outputs/rates/mse-lr=0.1-0a", "outputs/rates/brier-lr=1-0b/seed=1")
    assert losslab.call("runs", *paths, "--delete", "--yes").code == 0
    left = {name: data for name, data in before.items() if not name.startswith("seed=1")}
    assert snapshot(rates / "brier-lr=1-0b") == left
    assert [path.name for path in rates.iterdir()] == ["brier-lr=1-0b"]


def test_a_trained_run_leaves_nothing_behind(losslab):
    run = losslab.finished()
    assert losslab.call("runs", str(run), "--delete", "--yes").code == 0
    assert list((losslab.folder / "outputs").iterdir()) == []


def test_what_losslab_did_not_make_stays(losslab, rates):
    run = rates / "mse-lr=0.1-0a" / "seed=0"
    mine = [run / "notes.txt", rates / "report.md", rates / "plot.png", rates / "mine" / "a.md"]
    (rates / "mine").mkdir()
    (rates / "empty").mkdir()
    for path in mine:
        path.write_text("my own")
    foreign = rates / "other_tool" / "seed=7"
    foreign.mkdir(parents=True)
    (foreign / "status.json").write_text('{"status": "done"}')
    code, out, err = losslab.call("runs", "outputs/rates", "--delete", "--yes")
    assert (code, out) == (1, "")
    lines = err.splitlines()
    assert [line for line in lines if "seed=0 holds what losslab did not make: notes.txt" in line]
    assert [line for line in lines if "seed=7 is not a run that losslab made" in line]
    assert len(lines) == 2
    left = {path for path in rates.rglob("*") if path.is_file()}
    assert left == {*mine, foreign / "status.json"}
    assert (rates / "empty").is_dir()


def test_links_are_never_followed(losslab, rates, tmp_path):
    elsewhere = write_run(tmp_path / "elsewhere", "mse-lr=0.1-0a/seed=0")
    group = rates / "mse-lr=0.1-0a"
    links = {
        group / "seed=8": elsewhere,
        rates / "linked": elsewhere.parent,
        group / "seed=0" / "log.txt": elsewhere / "config.yaml",
        rates / "report.md": elsewhere / "manifest.json",
    }
    for link, target in links.items():
        link.symlink_to(target)
    before = snapshot(tmp_path / "elsewhere")
    code, _, err = losslab.call("runs", "outputs/rates", "--delete", "--yes")
    assert code == 1
    assert "seed=8 is a symbolic link" in err
    assert "did not make: log.txt" in err
    assert snapshot(tmp_path / "elsewhere") == before
    assert all(link.is_symlink() for link in links)
    (losslab.folder / "way").symlink_to(tmp_path / "elsewhere")
    check(losslab, ("runs", "way", "--delete", "--yes"), ("way is a symbolic link",))


def test_a_run_under_way_stops_the_deletion(losslab, rates):
    held = Run.at(rates / "brier-lr=1-0b" / "seed=2")
    with held.lock() as mine:
        assert mine
        assert "1 running" in losslab.call("runs").out
        says = ("seed=2 is being run by another process", "nothing was deleted")
        check(losslab, ("runs", "outputs/rates", "--delete", "--yes"), says)
        # The others can go.
        assert losslab.call("runs", str(rates / "mse-lr=0.1-0a"), "--delete", "--yes").code == 0
    assert "1 interrupted" in losslab.call("runs").out


def test_a_search_under_way_stops_the_deletion(losslab, rates):
    with lock(rates / "optuna.journal"):
        says = ("a search is under way in outputs/rates",)
        check(losslab, ("runs", "outputs/rates", "--delete", "--yes"), says)
    assert losslab.call("runs", "outputs/rates", "--delete", "--yes").code == 0
    assert not rates.exists()


@pytest.mark.parametrize(("answer", "deleted"), [("y", True), ("n", False), ("", False)])
def test_it_asks_first(losslab, rates, answer, deleted):
    code = (
        "import sys; sys.stdin.isatty = lambda: True; sys.argv[1:] = "
        "['runs', 'outputs/rates', '--delete']; from losslab.cli import main; main()"
    )
    asked = subprocess.run(
        [sys.executable, "-c", code], input=f"{answer}\n", capture_output=True, text=True
    )
    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout.startswith("Delete 6 runs (")
    assert "in outputs/rates? [y/N]" in asked.stdout
    assert rates.exists() is not deleted
    assert ("nothing was deleted" in asked.stdout) is not deleted


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("runs nowhere", ("nowhere is not a folder",)),
        ("runs .", ("holds no runs",)),
        ("runs", ("outputs is not a folder",)),
        ("runs --yes", ("--yes needs --delete",)),
        ("runs --delete", ("--delete needs the folder",)),
        ("runs --delete --yes", ("--delete needs the folder",)),
        ("runs . --size", ("--size",)),
    ],
)
def test_wrong_commands(losslab, command, says):
    check(losslab, tuple(command.split()), says)


def test_it_wants_a_yes_where_nobody_can_be_asked(losslab, rates, monkeypatch):
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        check(losslab, ("runs", "outputs/rates", "--delete"), ("6 runs", "add --yes"))


def test_a_thousand_runs_are_listed_and_deleted_quickly(losslab):
    """CPU time, as other work on the machine takes none of it; no torch, no pandas."""
    run = losslab.finished()
    folder = losslab.folder / "outputs" / "many"
    for index in range(100):
        for seed in range(10):
            to = folder / f"mse-lr={index}-{index:08x}" / f"seed={seed}"
            shutil.copytree(run, to, copy_function=os.link)
    code = (
        "import json, sys, time; sys.argv[1:] = ['runs', 'outputs/many']\n"
        "from losslab.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "slow = {'torch', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "print(json.dumps([time.process_time(), *slow]))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *lines, last = told.stdout.splitlines()
    assert len(lines) == 102
    assert lines[-1].split()[:3] == ["1000", "runs", "100"]
    seconds, *slow = json.loads(last)
    assert slow == []
    assert seconds < 2
    began = time.process_time()
    assert losslab.call("runs", "outputs/many", "--delete", "--yes").code == 0
    assert time.process_time() - began < 5
    assert not folder.exists()
