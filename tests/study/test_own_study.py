"""A study of one's own, with code of its own beside it: no change in losslab."""

import os
import subprocess
import sys

import pytest

from bad import check
from losslab.experiment import compose
from losslab.study.outline import IN_REPOSITORY
from running import TINY, read

STUDY = """\
# Mine
_target_: losslab.study.Study
title: Is mine better?
question: Is it?
base: []
arms:
  cross_entropy: {label: cross-entropy, overrides: [loss=cross_entropy]}
  mine: {label: mine, overrides: [loss=mine]}
reference: cross_entropy
parameter: optimizer.lr
values: [0.1]
select: val/accuracy
tune_seeds: [0]
confirm_seeds: [1, 2]
confirm_at: [own]
measures:
  lost:
    _target_: losslab.study.numbers.lost_classes
    needs: [cross_entropy, mine]
  mine:
    _target_: own_code.measures.runs_of
    needs: [mine]
"""
CODE = {
    "losses": "from losslab.losses import CrossEntropy\nclass Mine(CrossEntropy):\n    pass\n",
    "measures": """\
from losslab.report.measurement import Measurement, Quantity
def runs_of(runs):
    n = len(runs["mine"])
    return Measurement(quantities={"runs": Quantity(value=n, n=n, what="runs")})
""",
}


@pytest.fixture
def my_conf(tmp_path):
    """A folder elsewhere than the working folder."""
    folder = tmp_path / "elsewhere" / "my_conf"
    files = {"loss/mine.yaml": "_target_: own_code.losses.Mine\n", "study/my_study.yaml": STUDY}
    files |= {"own_code/__init__.py": ""}
    files |= {f"own_code/{name}.py": text for name, text in CODE.items()}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.slow
def test_a_study_of_ones_own(losslab, my_conf):
    result = losslab.call("study", "--config-dir", str(my_conf), "my_study", *TINY)
    assert (result.code, result.err) == (0, "")
    root = losslab.folder / "outputs" / "my_study"
    accuracies = read(root / "results.json")["arms"]
    assert set(accuracies) == {"cross_entropy", "mine"}
    measured = read(root / "evidence.json")["measurements"]
    (table,) = measured["lost"]["tables"]
    assert [row[0] for row in table["rows"]] == ["cross-entropy", "mine"]  # as its arms say
    assert measured["mine"]["quantities"]["runs"]["value"] == 2
    command = read(losslab.runs("my_study")[0] / "manifest.json")["command"]
    assert f"--config-dir {my_conf} name=my_study" in command

    unknown = losslab.call("study", "my_study", *TINY)
    assert unknown.code == 2
    assert "my_study" in unknown.err


def test_code_is_trusted_only_in_a_folder_that_was_named(losslab, my_conf, monkeypatch):
    monkeypatch.syspath_prepend(str(my_conf))
    command = ("train", *TINY, "loss._target_=own_code.losses.Mine")
    check(losslab, command, ("own_code.losses.Mine", "not on the allowlist", "--config-dir"))
    assert losslab.call(*command, "--config-dir", str(my_conf)).code == 0


@pytest.mark.slow  # each launcher's workers import torch
@pytest.mark.parametrize("launcher", ["joblib", "ray", "submitit_local"])
def test_workers_find_code_of_ones_own(losslab, my_conf, launcher):
    pytest.importorskip({"submitit_local": "submitit"}.get(launcher, launcher))
    command = ("train", "-m", *TINY, "loss=mine", "seed=0,1", f"launcher={launcher}")
    words = [sys.executable, "-m", "losslab", *command, "--config-dir", str(my_conf)]
    ended = subprocess.run(words, env=os.environ, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_studies_with_code_are_found_in_a_checkout_alone(losslab, monkeypatch):
    assert {folder.name for folder in compose.STUDY_FOLDERS} == set(IN_REPOSITORY)
    listed = losslab.call("list", "study").out
    assert all(name in listed for name in IN_REPOSITORY)

    monkeypatch.setattr(compose, "STUDY_FOLDERS", [])  # as in a wheel
    for name in IN_REPOSITORY:
        check(losslab, ("study", name), (name, "in losslab's repository", "--config-dir"))
    check(losslab, ("study", "identitie"), ("unknown study 'identitie'",))
    own = str(compose.CONFIG_FOLDER.parent / "experiments" / "identities")
    wrong = ("study", "identities", "--config-dir", own, "study.measures.target.targets=many")
    check(losslab, wrong, ("study.measures.target.targets=many", "a whole number"))
