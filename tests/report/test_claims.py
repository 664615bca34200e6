import json

import numpy as np
import pytest

from losslab.report import load_runs, parse_plan
from losslab.report.claims import judge, verdict
from losslab.report.document import to_markdown
from losslab.report.findings import find
from losslab.report.measurement import Evidence, Measurement, Quantity
from losslab.report.results import study_data
from losslab.report.statistics import Interval
from losslab.report.study_report import study_document
from losslab.report.tuning import SideSampler
from report.factory import CONFIRMING_SEEDS, run_name, tiny_plan, write_run, write_study

# direction, interval of left − right, Holm's p; the smallest effect that matters is 1.
RULE = [
    ("greater", (1.5, 3.0), 0.01, "supported"),
    ("greater", (1.5, 3.0), 0.05, "inconclusive"),
    ("greater", (1.5, 3.0), 0.06, "inconclusive"),
    ("greater", (0.5, 3.0), 0.01, "inconclusive"),
    ("greater", (0.2, 0.8), 0.01, "smaller"),
    ("greater", (0.2, 0.8), 0.06, "contradicted"),
    ("greater", (-0.8, -0.2), 0.01, "contradicted"),
    ("greater", (-0.5, 0.5), 0.9, "contradicted"),
    ("greater", (-3.0, -2.0), 0.01, "contradicted"),
    ("greater", (-2.0, 2.0), 0.9, "inconclusive"),
    ("less", (-3.0, -1.5), 0.01, "supported"),
    ("less", (-3.0, -0.5), 0.01, "inconclusive"),
    ("less", (-0.8, -0.2), 0.01, "smaller"),
    ("less", (-0.5, 0.5), 0.01, "contradicted"),
    ("less", (0.2, 0.8), 0.01, "contradicted"),
    ("less", (2.0, 3.0), 0.01, "contradicted"),
    ("equal", (-0.5, 0.5), 0.9, "supported"),
    ("equal", (0.2, 0.8), 0.001, "supported"),
    ("equal", (0.5, 1.5), 0.001, "inconclusive"),
    ("equal", (1.1, 1.5), 0.2, "contradicted"),
    ("equal", (-3.0, -1.1), 0.001, "contradicted"),
    ("equal", (-2.0, 2.0), 0.9, "inconclusive"),
]


@pytest.mark.parametrize(("direction", "interval", "p", "expected"), RULE)
def test_the_rule(direction, interval, p, expected):
    about = tiny_plan()["claims"][0] | {"direction": direction, "smallest_effect": 1.0}
    about["metric"] = "test/nll"  # which may differ by 1
    (claim,) = parse_plan(tiny_plan() | {"claims": [about]}).claims
    signed = direction != "equal"
    needed = p if signed else 0.0  # equality needs no test
    found = verdict(claim.predicted, Interval(*interval), p_holm=needed, difference=signed)
    assert found == expected


def judgements(root, plan):
    plan = parse_plan(plan)
    judged = judge(plan, SideSampler(load_runs(root), plan), Evidence())
    return {judgement.claim.id: judgement for judgement in judged}


def test_known_effects_get_their_verdicts(tiny_study):
    found = judgements(tiny_study, tiny_plan())
    # 0.30 against 0.95; 0.94 against 0.95, where 0.04 matters; the same, predicted to be better;
    # at the same confidence of 0.86 an accuracy of 0.90 is better calibrated than one of 0.95.
    assert {name: judgement.verdict for name, judgement in found.items()} == {
        "naive": "supported",
        "level": "supported",
        "better": "contradicted",
        "calibrated": "contradicted",
    }
    assert found["naive"].comparison.mean == pytest.approx(-0.65, abs=0.02)
    assert found["naive"].comparison.n == len(CONFIRMING_SEEDS)
    # Eight seeds of the same sign: 2 / 2^8, times four claims.
    assert found["naive"].p_holm == pytest.approx(4 * 2 / 2**8)


def test_an_interval_without_a_significant_p_says_why_it_does_not_suffice(tmp_path):
    plan = tiny_plan()
    plan["confirm"] = [run for run in plan["confirm"] if run["seed"] < 105]
    naive = judgements(write_study(tmp_path, plan), plan)["naive"]
    assert naive.comparison.interval.high < -0.04
    assert naive.comparison.p == 2 / 2**5
    assert (naive.verdict, naive.reason) == ("inconclusive", "p ≥ 0.05 with 5 pairs")


def test_a_claim_may_be_about_any_recorded_number(tmp_path):
    plan = tiny_plan()
    plan["claims"] = [plan["claims"][0] | {"metric": "why/curvature/top", "direction": "greater"}]
    write_study(tmp_path, plan)
    for run in plan["confirm"]:
        path = tmp_path / run["run"] / "summary.json"
        top = {"cross_entropy": 1.0, "mse": 2.0, "mse_softmax": 3.0}[run["arm"]]
        numbers = json.loads(path.read_text()) | {"why/curvature/top": top + run["seed"] / 1000}
        path.write_text(json.dumps(numbers))
    naive = judgements(tmp_path, plan)["naive"]
    assert naive.verdict == "supported"
    assert naive.comparison.covers == "seeds and choice of value"
    assert naive.comparison.interval == pytest.approx((2.0, 2.0))
    document = study_document(find(parse_plan(plan), load_runs(tmp_path)), figures=())
    assert "+2 [+2, +2] ‡" in to_markdown(document)


def test_missing_runs_are_counted_not_judged(tmp_path):
    gone = {run_name("mse_softmax", 0.1, seed) for seed in (100, 101)}
    write_study(tmp_path, tiny_plan(), only=lambda name: name not in gone)
    naive = judgements(tmp_path, tiny_plan())["naive"]
    assert (naive.verdict, naive.reason) == ("inconclusive", "2 of 16 runs missing")
    assert naive.comparison.n == 6


def test_before_tuning_has_finished_nothing_is_judged(tmp_path):
    plan = tiny_plan() | {"confirm": [], "chosen": {}}
    for judgement in judgements(write_study(tmp_path, plan), plan).values():
        assert judgement.verdict == "inconclusive"
        assert "not planned yet" in judgement.reason


@pytest.mark.parametrize("seeds", [[100], CONFIRMING_SEEDS], ids=["one", "all of a side"])
def test_a_diverged_run_counts(tmp_path, seeds):
    names = [run_name("mse_softmax", 0.1, seed) for seed in seeds]
    write_study(tmp_path, tiny_plan(), only=lambda other: other not in names)
    for name in names:
        write_run(tmp_path, name, status="diverged", accuracy=0.1)
    naive = judgements(tmp_path, tiny_plan())["naive"]
    assert (naive.verdict, naive.comparison.n) == ("supported", 8)


def test_a_claim_on_what_is_not_finite_is_not_judged(tmp_path):
    name = run_name("mse_softmax", 1.0, 100)
    write_study(tmp_path, tiny_plan(), only=lambda other: other != name)
    labels = np.arange(120) % 4
    logits = np.full((120, 4), np.nan)
    write_run(tmp_path, name, status="diverged", logits=logits, labels=labels)
    calibrated = judgements(tmp_path, tiny_plan())["calibrated"]
    assert calibrated.verdict == "inconclusive"
    assert calibrated.reason == "not finite or not recorded in 1 of 16 runs"
    data = study_data(find(parse_plan(tiny_plan()), load_runs(tmp_path)))
    assert data["arms"]["mse_softmax"]["confirmed"]["own"]["test/nll"]["not_finite"] == 1


def test_a_claim_about_what_its_measure_does_not_give_says_so(tmp_path):
    about = {"id": "few", "statement": "Few.", "source": "a guess", "at_most": 0.1}
    about["quantity"] = "errors.mes"
    plan = parse_plan(tiny_plan() | {"claims": [about]})
    given = {"mse": Quantity(value=0.05, n=3, what="share of errors")}
    for measured, reason in [
        ({"errors": Measurement(quantities=given)}, "errors gave no 'mes' (did you mean 'mse'?)"),
        ({"errors": Measurement()}, "errors gave no 'mes'"),
        ({}, ""),  # its runs are not finished
    ]:
        (judged,) = judge(plan, SideSampler(load_runs(tmp_path), plan), Evidence(measured))
        assert (judged.verdict, judged.reason) == ("inconclusive", reason)


def test_one_seed_is_not_enough(tmp_path):
    plan = tiny_plan()
    plan["confirm"] = [run for run in plan["confirm"] if run["seed"] == 100]
    level = judgements(write_study(tmp_path, plan), plan)["level"]
    assert (level.verdict, level.reason) == ("inconclusive", "fewer than two seeds in common")


def test_a_claim_about_runs_that_all_failed_is_untestable(tmp_path):
    plan = tiny_plan()
    plan["claims"] = [claim for claim in plan["claims"] if claim["id"] == "naive"]
    for name in {run["run"] for run in plan["confirm"]}:
        write_run(tmp_path, name, status="diverged")
    found = judgements(tmp_path, plan)["naive"]
    assert (found.verdict, found.reason) == ("untestable", "every run diverged")
