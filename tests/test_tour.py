"""The notebook runs from its first to its last cell, and is kept without outputs."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


@pytest.mark.slow
def test_the_tour_runs(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("LOSSLAB_CACHE", str(cache))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    shutil.copytree(EXPERIMENTS / "tour", tmp_path / "tour")
    (tmp_path / "why_squared_error").symlink_to(EXPERIMENTS / "why_squared_error")
    notebook = nbformat.read(tmp_path / "tour" / "tour.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * 10
    NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": tmp_path / "tour"}}
    ).execute()
    # Each cell shows something, and none warns.
    assert all(cell.outputs for cell in code)
    shown = [output for cell in code for output in cell.outputs]
    assert [output.text for output in shown if output.get("name") == "stderr"] == []
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert "supported" in code[-1].outputs[0]["data"]["text/plain"]
