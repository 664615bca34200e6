"""Rendered again, stored runs give the numbers that version 0.1 gave."""

import json
from pathlib import Path

import pytest

from losslab.report import build
from report.compare import changes
from report.factory import write_old_study

OLD = json.loads((Path(__file__).parent / "results_of_0_1.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    results = build(write_old_study(tmp_path_factory.mktemp("old") / "tiny"))
    (path,) = [path for path in results if path.name == "results.json"]
    return json.loads(path.read_text("utf-8"))


def test_only_what_holm_now_covers_has_changed(new):
    # Intervals hold the choice of value, which was the same for all tuning seeds here.
    found = [change for change in changes(OLD, new) if "/covers: " not in change]
    # Shares over all orders have taken the place of steps in one order.
    assert found.pop().startswith("/steps: gone")
    # The three quantities that were sampled are in the family of the four differences.
    assert found == [
        "/claims/naive/p_holm: 0.03125 became 0.046875",
        "/claims/level/p_holm: 0.03125 became 0.0625",
        "/claims/better/p_holm: 0.03125 became 0.0625",
        "/claims/calibrated/p_holm: 0.03125 became 0.046875",
        "/claims/weak/verdict: 'supported' became 'inconclusive'",
        "/claims/weaker/verdict: 'supported' became 'inconclusive'",
    ]


def test_quantities_that_were_sampled_are_tested_and_exact_ones_are_not(new):
    claims = {claim["id"]: claim for claim in new["claims"]}
    assert claims["exact"]["verdict"] == claims["sure"]["verdict"] == "supported"
    assert "p" not in claims["exact"]
    assert claims["weak"]["reason"] == "p ≥ 0.05"
    # t = 0.3 / (0.28 / 2.776) with four degrees of freedom
    assert claims["weak"]["p"] == pytest.approx(0.0410, abs=2e-4)
    assert claims["weak"]["p_holm"] == pytest.approx(2 * claims["weak"]["p"], rel=1e-4)


def test_what_changed_is_named_key_by_key():
    old = {"a": 1.0, "b": [{"id": "x", "n": 3}], "rule": "old"}
    assert (
        list(changes(old, {"a": 1.0000001, "b": [{"id": "x", "n": 3}], "rule": "", "c": 0})) == []
    )
    assert list(changes(old, {"a": 1.1, "b": [{"id": "x", "n": 4}]})) == [
        "/a: 1.0 became 1.1",
        "/b/x/n: 3 became 4",
        "/rule: gone (was 'old')",
    ]
