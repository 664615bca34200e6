"""The same numbers wherever runs are done, and what happens where workers die."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from running import TINY, records, results, status

SLURM = Path(__file__).parent / "one_node_slurm.sh"
GRID = ("model=small_cnn", "model.width=4", "loss=mse,brier", "seed=0,1", "trainer.epochs=1")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which sbatch finds a Slurm: one of the tests' own on this machine."""
    missing = [name for name in ("slurmctld", "slurmd", "munged") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root, and Debian's slurm-wlm and munge (missing: {missing})")
    folder = tmp_path_factory.mktemp("slurm")
    try:
        subprocess.run([SLURM, "start", folder], check=True, timeout=60)
        yield {"SLURM_CONF": str(folder / "slurm.conf")}
    finally:
        subprocess.run([SLURM, "stop", folder], check=True)


def needs(module: str) -> None:
    pytest.importorskip(module, reason=f"needs {module}, which the dev group installs")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "losslab", "train", "-m", *TINY, *arguments]


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def same(losslab, name: str) -> None:
    """The runs of that name are the serial sweep's, to the bit, and nothing else is there."""
    serial, other = losslab.runs(), losslab.runs(name)
    assert len(serial) == 4
    for one, two in zip(serial, other, strict=True):
        assert one.parent.name == two.parent.name
        assert results(one) == results(two)
        assert records(one) == records(two)
    assert set(other) == set((losslab.folder / "outputs" / name).glob("*/*"))


@pytest.mark.slow  # each launcher's workers import torch
@pytest.mark.parametrize("launcher", ["joblib", "ray", "submitit_local"])
def test_the_same_numbers_wherever_they_run(losslab, launcher, tmp_path):
    needs({"ray": "ray", "submitit_local": "submitit"}.get(launcher, "joblib"))
    losslab.sweep(*GRID)
    home = tmp_path / "home"
    home.mkdir()
    ended = run(*GRID, f"launcher={launcher}", f"name={launcher}", env={"HOME": str(home)})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "sweep: 4 done, 0 failed, 0 remaining" in ended.stdout
    same(losslab, launcher)
    # Nothing is written outside the output folder.
    assert list(losslab.folder.iterdir()) == [losslab.folder / "outputs"]
    assert list(home.rglob("*")) == []


GROWS = """
import builtins, time
import losslab.launchers.local as local

def perform(runs):
    import builtins, time
    builtins.kept = [*getattr(builtins, "kept", []), b"x" * 200_000_000]
    time.sleep(1.1)
    return [None for _ in runs]

local.perform = perform
print(local.Joblib(workers=2).perform([["a"]] * 8))
"""


@pytest.mark.slow  # a worker is replaced after a second
def test_workers_that_grow_are_replaced_in_silence():
    needs("psutil")  # with which joblib measures
    ended = subprocess.run(
        [sys.executable, "-c", GROWS], capture_output=True, text=True, check=False, timeout=120
    )
    assert (ended.stdout.strip(), ended.stderr) == (str([[None]] * 8), "")


@pytest.mark.slow
def test_slurm_gives_the_same_numbers(losslab, slurm):
    needs("submitit")
    losslab.sweep(*GRID)
    at_once = ("launcher.runs_per_job=2", "launcher.runs_at_once=2", "launcher.jobs_at_once=1")
    ended = run(*GRID, "launcher=slurm", "name=slurm", *at_once, env=slurm)
    assert (ended.returncode, ended.stderr) == (0, "")
    same(losslab, "slurm")
    wrong = run("launcher=slurm", "launcher.partition=nowhere", "name=wrong", env=slurm)
    assert wrong.returncode == 2
    assert len(wrong.stderr.splitlines()) == 1
    assert "nowhere" in wrong.stderr


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "ray", "slurm"])
def test_a_worker_that_is_killed_loses_its_run_alone_and_the_command_goes_on(
    losslab, launcher, request
):
    needs({"ray": "ray", "joblib": "joblib"}.get(launcher, "submitit"))
    env = request.getfixturevalue("slurm") if launcher == "slurm" else None
    # A worker is killed in its first run, by the loss itself, and only the first time.
    (losslab.folder / "deadly.py").write_text(
        "import os, pathlib, signal\n"
        "from losslab.losses import CrossEntropy\n"
        "class Deadly(CrossEntropy):\n"
        "    steps = 0\n"
        "    def per_example(self, logits, target):\n"
        "        Deadly.steps += 1\n"
        "        if Deadly.steps == 20 and pathlib.Path('kill').exists():\n"
        "            pathlib.Path('kill').unlink()\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().per_example(logits, target)\n"
    )
    arguments = ("loss._target_=deadly.Deadly", "seed=0,1", f"launcher={launcher}", "name=killed")
    if launcher == "slurm":
        arguments += ("launcher.runs_per_job=1",)
    (losslab.folder / "kill").touch()
    ended = run(*arguments, env=env)
    assert not (losslab.folder / "kill").exists()
    assert ended.returncode == 1, ended.stderr
    first, *others = ended.stderr.splitlines()
    assert re.match("losslab: .*the same command resumes", first)
    assert others
    assert all(line.startswith("losslab: not finished: outputs/killed/") for line in others)
    again = run(*arguments, env=env)
    assert (again.returncode, again.stderr) == (0, "")
    assert [status(path) for path in losslab.runs("killed")] == ["done", "done"]
