import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from losslab import files
from losslab.files import beside
from losslab.recording import Run, manifest, write_atomically, write_json
from losslab.recording.manifest import PACKAGES
from running import status


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, "first")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(tmp_path) == ["file"]


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new and longer")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "a.json", {"a": 0.1})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 0.1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 0.1}


def test_the_status_survives_whatever_lies_there(tmp_path):
    run = Run.at(tmp_path / "run")
    assert (run.status, run.reason) == (None, "")
    run.path.mkdir()
    run.set_status("failed", error="ValueError: no")
    assert (run.status, run.reason) == ("failed", "ValueError: no")
    run.set_status("running")
    assert (run.status, run.reason) == ("running", "")
    for content in ("", '{"status": "do', "[]", "3"):
        (run.path / "status.json").write_text(content)
        assert run.status is None


def test_clearing_removes_files_and_keeps_folders(tmp_path):
    run = Run.at(tmp_path)
    run.set_status("done")
    run.files.metrics.write_text("{}")
    (tmp_path / "mine").mkdir()
    run.clear()
    assert names(tmp_path) == ["mine"]


def test_one_process_at_a_time(tmp_path):
    run = Run.at(tmp_path / "run")
    other = (
        "import sys; from pathlib import Path; from losslab.recording import Run\n"
        "with Run.at(Path(sys.argv[1])).lock() as mine:\n"
        "    print(mine, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", other, str(run.path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout.readline() == "True\n"
        with run.lock() as mine:
            assert not mine
        holder.kill()  # the lock goes with its process, however that ends
    with run.lock() as mine:
        assert mine
        with run.lock() as again:
            assert not again
    with run.lock() as mine:
        assert mine
    assert names(run.path) == []


def test_the_manifest_says_where_numbers_come_from():
    about = manifest(command="losslab train", device="cpu", threads=1, choices={"loss": "mse"})
    expected = {"command", "choices", "python", "platform", "cpu", "device", "threads", *PACKAGES}
    assert set(about) - {"commit", "dirty"} == expected
    assert about["choices"] == {"loss": "mse"}
    assert all(about[name] for name in ("cpu", "platform", *PACKAGES))
    assert json.loads(json.dumps(about)) == about
    if "commit" in about:  # not in an unpacked source distribution
        assert len(about["commit"]) == 40
        assert type(about["dirty"]) is bool


def test_what_others_are_writing_is_left_to_them(tmp_path):
    """In another container there may be a process of this host's name and of any number."""
    with beside(tmp_path / "file") as temporary:
        temporary.touch()
        kind = temporary.name.rpartition(".")[0].rpartition(".")[0]
    fresh = [
        tmp_path / f"{kind}.{rest}.tmp" for rest in (f"{os.uname().nodename}.99999999-ab", "c")
    ]
    left = tmp_path / f"{kind}.dead.tmp"
    for path in (*fresh, left):
        path.write_text("half")
    os.utime(left, (0, time.time() - 2 * 24 * 3600))
    write_atomically(tmp_path / "file", "whole")
    assert names(tmp_path) == sorted(["file", *(path.name for path in fresh)])


@pytest.fixture
def locks_fail(monkeypatch):
    """Locks that fail as on other file systems: on folders as over NFS, or on everything."""

    def fail(code: str, *, on_files: bool):
        def flock(handle, operation):
            if on_files or stat.S_ISDIR(os.fstat(handle).st_mode):
                raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
            real(handle, operation)

        monkeypatch.setattr(fcntl, "flock", flock)
        files._without_locks.clear()

    real = fcntl.flock
    return fail


CODES = ("EBADF", "ENOLCK", "EOPNOTSUPP", "ENOSYS", "EACCES", "EPERM")


@pytest.mark.slow
@pytest.mark.parametrize("on_files", [False, True])
@pytest.mark.parametrize("code", CODES)
def test_a_sweep_and_a_search_without_locks(losslab, locks_fail, caplog, code, on_files):
    locks_fail(code, on_files=on_files)
    losslab.sweep("seed=0,1")
    if code in CODES[:2]:
        pytest.importorskip("optuna")
        losslab.sweep("sweeper=optuna", "sweeper.trials=2", "optimizer.lr=interval(0.01,0.1)")
    assert {status(run) for run in losslab.runs()} == {"done"}
    assert sum("no locks" in text for text in caplog.messages) == on_files


def test_over_nfs_files_are_locked(tmp_path, locks_fail):
    locks_fail("EBADF", on_files=False)
    run = Run.at(tmp_path / "run")
    with run.lock() as mine, run.lock() as again:
        assert (mine, again) == (True, False)
    assert not run.held
