"""Runs that several studies need are trained once."""

import shutil
import sys

import pytest

from running import TINY, read, results, status

MANIFEST = sys.modules["losslab.recording.manifest"]  # the package has a function of that name
STUDY = """\
_target_: losslab.study.Study
title: A study
question: Is it?
arms:
  cross_entropy: {label: cross-entropy, overrides: [loss=cross_entropy]}
  mse: {label: squared error, overrides: [loss=mse]}
reference: cross_entropy
parameter: optimizer.lr
values: [0.1]
tune_seeds: [0]
confirm_seeds: [1]
confirm_at: [own]
"""


@pytest.fixture
def call(losslab, monkeypatch):
    """Run a study; the code is that of an installed package, not of a changed checkout."""
    for name in ("one", "two"):
        path = losslab.folder / "conf" / "study" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(STUDY)
    monkeypatch.setattr(MANIFEST, "_commit", dict)

    def study(name, *words):
        result = losslab.call(
            "study", name, "--config-dir", "conf", *TINY, "diagnostics=none", *words
        )
        assert result.code == 0, result.err
        return result.out

    return study


@pytest.mark.slow
def test_a_second_study_takes_the_runs_of_the_first(losslab, call):
    call("one")
    said = call("two")
    assert "two: tune: 2 runs are shared with another study" in said
    one, two = losslab.runs("one"), losslab.runs("two")
    assert len(one) == len(two) == 4
    for first, second in zip(one, two, strict=True):
        assert results(first) == results(second)
        assert (first / "metrics.jsonl").samefile(second / "metrics.jsonl")
        assert "name: two" in (second / "config.yaml").read_text()
        assert status(second) == "done"
    numbers = [
        read(losslab.folder / f"outputs/{name}/results.json")["arms"] for name in ("one", "two")
    ]
    assert numbers[0] == numbers[1]


@pytest.mark.slow
def test_a_study_takes_its_runs_back(losslab, call):
    call("one")
    call("two")
    shutil.rmtree(losslab.folder / "outputs" / "one")
    assert "2 runs are shared with another study" in call("one")


@pytest.mark.slow
@pytest.mark.parametrize("why", ["altered", "force", "other code", "changed code", "custom"])
def test_what_is_not_taken(losslab, call, why, monkeypatch):
    custom = "from losslab.models import Linear\nclass Mine(Linear): pass\n"
    (losslab.folder / "conf" / "my_model.py").write_text(custom)
    more = {"force": ["force=true"], "custom": ["model._target_=my_model.Mine"]}
    words = more.get(why, [])
    call("one", *words)
    if why == "altered":
        for path in losslab.folder.rglob("predictions.safetensors"):
            path.write_bytes(b"other")
    monkeypatch.setattr(
        MANIFEST,
        "_commit",
        lambda: {"other code": {"commit": "0" * 40}, "changed code": {"dirty": True}}.get(why, {}),
    )
    assert "another study's" not in call("two", *words)
    one, two = losslab.runs("one"), losslab.runs("two")
    for first, second in zip(one, two, strict=True):
        assert not (first / "metrics.jsonl").samefile(second / "metrics.jsonl")
