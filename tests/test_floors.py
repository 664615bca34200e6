"""The architecture: who may import whom, what lies at the top."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "losslab"
FILES = sorted(PACKAGE.rglob("*.py"))
FLOOR = {
    "files": 0,
    "types": 0,
    "seeding": 0,
    "stopping": 0,
    "styles": 0,
    "text": 0,
    "data": 1,
    "models": 1,
    "losses": 1,
    "metrics": 1,
    "recording": 1,
    "diagnostics": 2,
    "training": 2,
    "figures": 2,
    "tensorboard": 2,
    "experiment": 3,
    "launchers": 4,
    "sweepers": 5,
    "study": 6,
    "cli": 7,
    "__main__": 8,
}
APART = "report"  # stands apart: is imported by study and cli
SHARED = {"files", "types", "text", "metrics", "recording", "figures", "tensorboard"}  # it imports
USES_HYDRA = {"experiment", "launchers", "sweepers", "study", "cli"}
TOP_LEVEL = {
    *("pyproject.toml", "README.md", "LICENSE"),
    *("conf", "experiments", "outputs", "src", "tests"),
}


def imports(path: Path) -> set[str]:
    """Return the dotted names that a file imports anywhere, in functions and for types, too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import; write the full name"
            # `from losslab import report` names its module behind the word import.
            if node.module == "losslab":
                found |= {f"losslab.{alias.name}" for alias in node.names}
            else:
                found.add(str(node.module))
    return found


def unit(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def own(path: Path) -> set[str]:
    """Return the packages and modules of losslab that a file imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("losslab.")}


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_every_unit_has_a_floor():
    assert {unit(path) for path in FILES} <= {*FLOOR, APART, "__init__"}


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_go_down(path):
    here = unit(path)
    if here == "__init__":
        assert own(path) == set()
    elif here == APART:
        assert own(path) <= {*SHARED, APART}
    else:
        others = own(path) - {here}
        if FLOOR[here] >= FLOOR["study"]:
            others -= {APART}
        assert {name: FLOOR[name] for name in others if FLOOR[name] >= FLOOR[here]} == {}


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_hydra_and_torch_stay_where_they_belong(path):
    roots = {name.split(".")[0] for name in imports(path)}
    if unit(path) not in USES_HYDRA:
        assert not roots & {"hydra", "omegaconf", "hydra_plugins"}
    if unit(path) in ("report", "figures", "tensorboard"):
        assert not roots & {"torch", "torchvision"}
    if unit(path) != "tensorboard":
        assert "tensorboard" not in roots


def test_reports_figures_and_tensorboard_load_no_torch():
    modules = ("report.figures", "report.over_seeds", "figures.run_images")
    names = ", ".join(f"losslab.{name}" for name in modules)
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


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
    assert usual <= groups <= usual | {"diagnostics", "sweeper"}
