"""The architecture: who may import whom, what lies at the top."""

import ast
import os
import runpy
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "losslab"
FILES = sorted(PACKAGE.rglob("*.py"))
# A file imports only from floors below its own.
FLOORS = (
    {"files", "folders", "parsing", "types", "seeding", "stopping", "text", "workers"},
    {"data", "models", "losses", "metrics", "recording"},
    {"diagnostics", "training", "figures", "tensorboard"},
    {"experiment", "explore"},
    {"launchers"},
    {"sweepers"},
    {"study"},
    {"cli", "api"},
    {"__main__", "__init__"},
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
APART = "report"  # stands apart: is imported by study and what is above it
# What it imports.
SHARED = {"files", "folders", "parsing", "types", "text", "workers"}
SHARED |= {"metrics", "recording", "figures", "tensorboard"}
NO_TORCH = (SHARED - {"metrics"}) | {"report", "explore"}
USES_HYDRA = {"experiment", "launchers", "sweepers", "study", "cli"}
# What must not be loaded by the time that something has been told.
SLOW = {"torch", "torchvision", "tensorboard", "pandas", "scipy", "matplotlib", "safetensors.torch"}
TOP_LEVEL = {
    *("pyproject.toml", "README.md", "LICENSE"),
    *("conf", "experiments", "outputs", "src", "tests"),
}


@cache
def imports(path: Path, *, at_run_time: bool = False) -> set[str]:
    """Return the dotted names that a file imports anywhere, in functions, too.

    Of ``from a import b`` both a and a.b, as b may be a module.

    Args:
        path: The file.
        at_run_time: Whether to leave out what is imported for types alone.
    """
    found, nodes = set(), [ast.parse(path.read_text("utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import; write the full name"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif at_run_time and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
        else:
            nodes += ast.iter_child_nodes(node)
    return found


def unit(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def own(path: Path, *, at_run_time: bool = False) -> set[str]:
    """Return the packages and modules of losslab that a file imports."""
    found = imports(path, at_run_time=at_run_time)
    return {name.split(".")[1] for name in found if name.startswith("losslab.")}


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_every_unit_has_a_floor():
    assert {unit(path) for path in FILES} <= {*FLOOR, APART}


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_go_down(path):
    here = unit(path)
    if here == APART:
        assert own(path) <= {*SHARED, APART}
    else:
        others = own(path) - {here}
        if FLOOR[here] >= FLOOR["study"]:
            others -= {APART}
        assert {name: FLOOR[name] for name in others if FLOOR[name] >= FLOOR[here]} == {}


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_hydra_torch_and_tensorboard_stay_where_they_belong(path):
    roots = {name.partition(".")[0] for name in imports(path)}
    if unit(path) not in USES_HYDRA:
        assert not roots & {"hydra", "omegaconf", "hydra_plugins"}
    if unit(path) in NO_TORCH:
        at_run_time = {name.partition(".")[0] for name in imports(path, at_run_time=True)}
        assert not at_run_time & {"torch", "torchvision", "safetensors.torch"}
    if unit(path) not in {"tensorboard", "cli"}:
        assert "tensorboard" not in roots


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import torch.nn as nn", {"torch.nn"}),
        ("from torch import Tensor", {"torch", "torch.Tensor"}),
        ("from losslab import data", {"losslab", "losslab.data"}),
        ("def late():\n    from torch import nn", {"torch", "torch.nn"}),
        ("if TYPE_CHECKING:\n    import torch\nelse:\n    import json", {"json"}),
    ],
)
def test_imports_of_every_form_are_seen(tmp_path, line, found):
    path = tmp_path / "module.py"
    path.write_text(line)
    assert imports(path, at_run_time=True) == found


def test_what_needs_no_torch_loads_none():
    names = ", ".join(f"losslab.{name}" for name in sorted(NO_TORCH))
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# Commands, and the lines that a shell wants to complete.
TELLS = (
    *((c, "") for c in ("", "--help", "list", "list loss", "train --cfg job loss=mse")),
    *((f"{c} --help", "") for c in ("train", "runs", "best", "compare")),
    ("study why_squared_error --help", ""),
    *(("-sc query=bash", line) for line in ("losslab train loss=m", "losslab st")),
    *(("-sc query=bash", line) for line in ("losslab compare --", "losslab best outputs --by val")),
)


@pytest.mark.slow
def test_what_only_tells_something_loads_nothing_slow(tmp_path):
    """In one process, which imports what they have in common once."""
    code = f"""
import os, sys, losslab
assert not {SLOW} & set(sys.modules)
for command, os.environ["COMP_LINE"] in {TELLS}:
    sys.argv[1:] = command.split()
    from losslab.cli import main
    try:
        main()
    except SystemExit as end:
        assert end.code == (0 if command else 2), command
    assert not {SLOW} & set(sys.modules), (command, {SLOW} & set(sys.modules))
print("TOLD")
"""
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (told.returncode, told.stdout.splitlines()[-1:]) == (0, ["TOLD"]), told.stderr


@pytest.mark.parametrize(
    ("line", "most"),
    [("losslab tr", 100), ("losslab train loss=m", 100), ("losslab train optimizer.l", 160)],
)
def test_tab_loads_little(tmp_path, line, most):
    code = """
import sys
before = set(sys.modules)
sys.argv[1:] = ["-sc", "query=bash"]
from losslab.__main__ import main
try:
    main()
finally:
    loaded = set(sys.modules) - before
    print(len(loaded), *sorted({"rich", "yaml", "multiprocessing", "argparse"} & loaded))
"""
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "COMP_LINE": line},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    count, *slow = told.stdout.splitlines()[-1].split()
    assert int(count) < most
    assert slow == (["yaml"] if "." in line else [])


def test_windows_is_told_to_use_wsl(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ImportError, match="on Windows, install it in WSL"):
        runpy.run_path(str(PACKAGE / "__init__.py"))


def test_the_types_import_no_torch_at_run_time():
    tree = ast.parse((PACKAGE / "types.py").read_text("utf-8"))
    names = {ast.unparse(node) for node in tree.body if isinstance(node, ast.Import)}
    assert names == set()


def test_the_top_level_is_the_house_of_the_design():
    try:
        command = ["git", "-C", str(ROOT), "ls-files"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no checkout: an unpacked source distribution has no git")
    top = {line.split("/")[0] for line in listed.splitlines()}
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


def test_conf_mirrors_what_it_configures():
    groups = {path.name for path in (ROOT / "conf").iterdir() if path.is_dir()}
    usual = {"data", "model", "loss", "optimizer", "schedule", "trainer", "launcher", "study"}
    assert usual <= groups <= usual | {"diagnostics", "sweeper", "recipe"}
