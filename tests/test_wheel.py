"""A wheel built from the tree carries conf/ and works from anywhere."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from running import TINY, status

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, **options) -> str:
    ended = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that the tree is left as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    for name in ("src", "conf"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, tree)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_has_everything_and_runs_from_anywhere(wheel, tmp_path, cache):
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        target = tmp_path / "site"
        archive.extractall(target)  # a wheel of pure Python is installed by unpacking it
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert f"losslab/conf/{path.relative_to(ROOT / 'conf').as_posix()}" in inside
    for path in (ROOT / "src").rglob("*.py"):
        assert path.relative_to(ROOT / "src").as_posix() in inside
    for path in (ROOT / "src" / "losslab" / "explore").glob("*.*"):
        assert f"losslab/explore/{path.name}" in inside
    assert "losslab/py.typed" in inside
    assert not any(name.startswith(("tests/", "conf/", "outputs/")) for name in inside)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(target), "LOSSLAB_CACHE": str(cache)}
    options = {"cwd": elsewhere, "env": environment}
    where = run(sys.executable, "-c", "import losslab; print(losslab.__file__)", **options)
    assert where.strip() == str(target / "losslab" / "__init__.py")
    listed = run(sys.executable, "-m", "losslab", "list", "losses", **options)
    assert "cross_entropy" in listed
    run(sys.executable, "-m", "losslab", "explore", **options)
    study = [sys.executable, "-m", "losslab", "study", "identities"]
    said = subprocess.run(study, capture_output=True, text=True, check=False, **options)
    assert (said.returncode, len(said.stderr.splitlines())) == (2, 1)
    assert "losslab's repository" in said.stderr
    run(sys.executable, "-m", "losslab", "train", *TINY, **options)
    (directory,) = elsewhere.glob("outputs/runs/*/seed=0")
    assert status(directory) == "done"
    assert '"commit"' not in (directory / "manifest.json").read_text()
