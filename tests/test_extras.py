"""What is not installed is named in one line, with what installs it."""

import importlib.util
import shutil

import pytest

from bad import check


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("ray", ("launcher=ray",), "losslab[ray]"),
        ("submitit", ("launcher=submitit_local",), "losslab[slurm]"),
        ("optuna", ("sweeper=optuna", "optimizer.lr=interval(0.1,1)"), "losslab[optuna]"),
    ],
)
def test_an_extra_that_is_missing(losslab, monkeypatch, module, arguments, extra):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == module else found(name, *a)
    )
    check(losslab, ("train", "-m", "data=synthetic", *arguments), (module, f"'{extra}'"))
    assert list(losslab.folder.iterdir()) == []


def test_a_machine_without_slurm(losslab, monkeypatch):
    pytest.importorskip("submitit", reason="needs submitit, which the dev group installs")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    check(losslab, ("train", "-m", "launcher=slurm"), ("sbatch", "launcher=submitit_local"))
    assert list(losslab.folder.iterdir()) == []
