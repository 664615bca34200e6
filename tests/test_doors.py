"""Commands that only look run nothing that lies there, and git nothing that others named."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from losslab.recording import manifest
from report.factory import tiny_plan, write_study
from running import TINY, read

# What libraries try to import where it is installed, and what Python and Hydra import unasked.
TRIED = {
    "cython",
    "Cython",
    "tensorflow",
    "pandas",
    "IPython",
    "google",
    "jax",
    "numba",
    "colorama",
}
UNASKED = {"sitecustomize", "usercustomize", "torch", "numpy", "yaml", "hydra", "matplotlib"}

CODE = "import os; os.system('echo ' + __name__ + ' >> touched')\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "until"),
    [
        ("list loss", ""),
        ("explore", ""),
        ("report outputs --to to", ""),
        ("report outputs/tiny/cross_entropy-lr=1-0a1b2c3d", ""),
        ("board . --port 0", "at http"),
    ],
)
def test_what_only_looks_runs_nothing_that_lies_there(tmp_path, command, until):
    write_study(tmp_path / "outputs" / "tiny", tiny_plan())
    # Python itself imports these for `-m`, before anything of losslab's.
    before = "import runpy, sys; print(*{name.split('.')[0] for name in sys.modules})"
    python = subprocess.run(
        [sys.executable, "-P", "-c", before], capture_output=True, text=True, check=True
    )
    names = (sys.stdlib_module_names | TRIED | UNASKED) - set(python.stdout.split())
    for name in names:
        (tmp_path / f"{name}.py").write_text(CODE)
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "mine.py").write_text(CODE)
    (tmp_path / "matplotlibrc").write_text("text.usetex: true\nbackend: module://random\n")
    with subprocess.Popen(
        [sys.executable, "-m", "losslab", *command.split()],
        cwd=tmp_path,
        # A command in this process may have set it.
        env={name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if until and until in line:
                process.send_signal(signal.SIGTERM)
    assert until or process.returncode == 0, lines
    assert until in "".join(lines)
    touched = tmp_path / "touched"
    assert not touched.exists(), touched.read_text()


@pytest.mark.slow
def test_workers_look_into_the_working_folder_last(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom losslab.losses import CrossEntropy\nclass Mine(CrossEntropy): pass\n"
    )
    for name in ("random", "socket", "pickle", "json", "multiprocessing", "concurrent"):
        (tmp_path / f"{name}.py").write_text(CODE)
    for launcher in ("joblib launcher.workers=2", "submitit_local"):
        words = f"{' '.join(TINY[:-1])} launcher={launcher} name={launcher.split()[0]} seed=0,1"
        ended = subprocess.run(
            [Path(sys.executable).parent / "losslab", "train", "-m", *words.split(),
             "loss._target_=mine.Mine"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
    assert not (tmp_path / "touched").exists(), (tmp_path / "touched").read_text()


def test_git_runs_nothing_that_the_users_settings_name(losslab, monkeypatch):
    script = losslab.folder / "monitor"
    script.write_text(f"#!/bin/sh\ntouch {losslab.folder}/touched\n")
    script.chmod(0o755)
    (losslab.folder / ".gitconfig").write_text(f'[core]\n\tfsmonitor = "{script}"\n')
    monkeypatch.setenv("HOME", str(losslab.folder))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(losslab.folder / ".gitconfig"))
    module = sys.modules[manifest.__module__]
    module._commit.cache_clear()
    run = losslab.run()
    assert not (losslab.folder / "touched").exists()
    checkout = subprocess.run(
        ["git", "-C", module.__file__.rpartition("/")[0], "status"], check=False
    )
    assert ("commit" in read(run / "manifest.json")) == (checkout.returncode == 0)
