"""Kill anything, lose nothing: a sweep killed again and again ends as an undisturbed one."""

import os
import random
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from killing import SWEEP, command, pause, sweep_contents, train_begins, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks and reads /proc"),
]

SEED = int(os.environ.get("LOSSLAB_KILL_SEED", "0"))
KILLS = int(os.environ.get("LOSSLAB_KILLS", "24"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    with command(folder, *SWEEP) as sweep:
        assert sweep.wait() == 0, sweep.err
    whole = sweep_contents(folder / "outputs" / "runs")
    assert len(whole) == 6
    return whole


def test_kills_at_random_moments(tmp_path, undisturbed):
    chance = random.Random(SEED)
    kills = rounds = 0
    while kills < KILLS:
        rounds += 1
        sweep = (*SWEEP, f"name=round{rounds}")
        finished = False
        while not finished and kills < KILLS:
            finished = disturb(tmp_path, sweep, chance)
            kills += not finished
        with command(tmp_path, *sweep) as last:
            assert last.wait() == 0, last.err
        assert sweep_contents(tmp_path / "outputs" / f"round{rounds}") == undisturbed


def disturb(folder, arguments, chance) -> bool:
    """Start a sweep and kill it, or a part of it; return whether it was finished before."""
    victim = chance.choices(("group", "command", "worker"), weights=(6, 2, 2))[0]
    in_training, delay = chance.random() < 0.8, chance.uniform(0, 0.5)
    with command(folder, *arguments) as sweep:
        if in_training:
            train_begins(sweep, folder / "outputs")
        pause(sweep, delay)
        workers = sweep.workers()
        if victim == "worker" and workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
        else:
            sweep.send(signal.SIGKILL, group=victim == "group")
        code = sweep.wait()
        if code == 1:
            assert "a worker process was killed" in sweep.err
            assert "the same command resumes" in sweep.err
            assert "not finished: outputs/" in sweep.err
        else:
            assert code in (0, -signal.SIGKILL), sweep.err
        # Workers whose command was killed end by themselves.
        wait_until(sweep.is_gone, 10)
        return code == 0


@pytest.mark.parametrize(
    ("launcher", "number", "group", "code"),
    [
        ("joblib", signal.SIGINT, True, 130),
        ("joblib", signal.SIGINT, False, 130),
        ("joblib", signal.SIGTERM, False, 143),
        ("serial", signal.SIGINT, True, 130),
    ],
)
def test_a_sweep_that_is_asked_to_stop(tmp_path, undisturbed, launcher, number, group, code):
    jobs = "launcher.workers=2"
    arguments = [word for word in SWEEP if launcher == "joblib" or word != jobs]
    arguments.append(f"launcher={launcher}")
    with command(tmp_path, *arguments) as sweep:
        train_begins(sweep, tmp_path / "outputs")
        # Something to resume from.
        wait_until(lambda: any(tmp_path.rglob("checkpoint.pt")), 60)
        sweep.send(number, group=group)
        assert sweep.wait() == code
        stopped = "losslab: stopped; finished runs are kept, and the same command resumes"
        assert sweep.err.splitlines() == [stopped]
        wait_until(sweep.is_gone, 10)
    with command(tmp_path, *SWEEP) as again:
        assert again.wait() == 0, again.err
    assert sweep_contents(tmp_path / "outputs" / "runs") == undisturbed
    resumed = [path for path in tmp_path.rglob("log.txt") if "resuming" in path.read_text()]
    assert resumed


def test_a_full_disk(tmp_path, undisturbed, limited):
    folder, narrow, wide = limited
    with command(folder, *SWEEP, before=narrow) as sweep:
        assert sweep.wait() == 1
        lines = sweep.err.splitlines()
        assert 1 <= len(lines) <= 6
        named = [line for line in lines if not line.endswith("more that did not start")]
        for line in named:
            assert line.startswith("losslab: not finished: outputs/runs/")
            assert "make room, and the same command resumes" in line or "disk is full" in line
        assert named
    single = [word for word in SWEEP if word != "-m"][:-3]
    with command(folder, *single, "loss=brier", "trainer.epochs=60", before=narrow) as run:
        assert (run.wait(), run.out) == (1, "")
        (line,) = run.err.splitlines()
        assert "losslab: not finished" in line or "No space left" in line
    wide()
    with command(folder, *SWEEP) as again:
        assert again.wait() == 0, again.err
    for path in folder.glob("outputs/runs/brier*"):
        shutil.rmtree(path)
    assert sweep_contents(folder / "outputs" / "runs") == undisturbed


@pytest.fixture(params=["disk", "size of a file"])
def limited(request, tmp_path):
    """A folder, what makes it full for a command, and what makes room again."""
    if request.param == "size of a file":
        few = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
        yield tmp_path, few, lambda: None
        return
    with mounted(tmp_path / "small", "size=600k") as folder:
        yield folder, "", lambda: mount("-o", "remount,size=64m", str(folder))


def mount(*arguments: str) -> None:
    ended = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if ended.returncode:
        pytest.skip(f"cannot mount: {ended.stderr.strip()}")


@contextmanager
def mounted(folder, options):
    """A disk of its own in memory."""
    if shutil.which("mount") is None:
        pytest.skip("there is no mount")
    folder.mkdir()
    mount("-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_folder_that_cannot_be_written(tmp_path):
    with mounted(tmp_path / "disk", "ro,size=1m") as disk:
        check_refused(tmp_path, disk / "outputs", "Read-only file system")


def test_a_folder_below_a_file(tmp_path):
    (tmp_path / "file").write_text("in the way")
    check_refused(tmp_path, tmp_path / "file" / "outputs", "Not a directory")


def check_refused(folder, outputs, reason):
    single = [word for word in SWEEP if word != "-m"][:-3]
    for arguments in (SWEEP, single):
        with command(folder, *arguments, f"output_dir={outputs}") as sweep:
            assert (sweep.wait(), sweep.out) == (2, "")
            (line,) = sweep.err.splitlines()
            assert line.startswith(f"losslab: cannot write into {outputs}")
            assert reason in line
            assert not outputs.exists()
