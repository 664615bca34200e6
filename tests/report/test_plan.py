import json
import math

import pytest

from losslab.report import load_plan, parse_plan
from losslab.report.plan import Side
from report.factory import CONFIRMING_SEEDS, tiny_plan


def spoiled(**changes):
    return tiny_plan() | changes


def claim(**changes):
    return {"claims": [tiny_plan()["claims"][0] | changes]}


MSE = {"arm": "mse", "rate": "own"}
QUANTITY = {"id": "q", "statement": "", "source": "", "quantity": "measure.q"}
BAD_PLANS = [
    ({"reference": "hinge"}, "the plan names hinge; the arms are cross_entropy, mse, mse_softmax"),
    ({"select": "val/nll"}, "select='val/nll'; give an accuracy"),
    (
        {"conditions": {"c": {"label": "c", "select": "val/nll"}}},
        "select='val/nll'; give an accuracy",
    ),
    (
        claim(direction="more"),
        "claims.naive.direction='more'; input should be 'less', 'greater' or",
    ),
    (claim(direction=None), "claim naive has no direction; give it one, or a quantity"),
    (claim(smallest_effect=0), "claim naive: smallest_effect=0.0; give a positive number"),
    (claim(left={"arm": "mse", "rate": "best"}), "claims.naive.left.rate='best'; .* 'own', 'refer"),
    (
        claim(beyond={"left": {"arm": "mse"}, "right": {}}),
        "claims.naive.beyond.left.rate is missing",
    ),
    (claim(metric="test/accuracy@last"), "metric 'test/accuracy@last'; give one of"),
    (claim(colour="red"), "claims.naive.colour is unknown; correct it or leave it out"),
    ({"claims": ["naive"]}, "claims.0='naive'; give keys and values"),
    ({"claims": [QUANTITY]}, "claim q predicts nothing; give at_least, at_most or both"),
    ({"claims": [QUANTITY | {"at_most": "low"}]}, "claims.q.at_most='low'; give a number"),
    *(
        ({"claims": [QUANTITY | ends]}, "claim q: at_least=.*, at_most=.*; give numbers, the")
        for ends in (
            {"at_least": 2, "at_most": 1},
            {"at_least": math.nan},
            {"at_least": 0, "at_most": math.nan},
        )
    ),
    *(
        (claim(quantity="measure.q", at_least=0, **absent), f"has a quantity and {name}, which")
        for name, absent in (
            ("metric", {}),
            ("left", {"metric": ""}),
            ("right", {"metric": "", "left": None}),
            ("direction", {"metric": "", "left": None, "right": None}),
            ("smallest_effect", {"metric": "", "left": None, "right": None, "direction": None}),
        )
    ),
    (claim(at_least=0), "claim naive has at_least, which is for quantities; leave it out"),
    (claim(left=MSE, right=MSE), "claim naive compares mse at own with itself; give two"),
    (
        claim(beyond={"left": MSE, "right": MSE}),
        "claim naive compares mse at own with itself; give two",
    ),
    (claim(smallest_effect=1), "smallest_effect=1.0; give less than 1: accuracies are fractions"),
    (claim(metric="test/ece", smallest_effect=4.0), "accuracies are fractions, and 0.01 is"),
    (
        claim(metric="why/linear_probe/accuracy@mean", smallest_effect=4.0),
        "accuracies are fractions, and 0.01 is",
    ),
    ({"claims": tiny_plan()["claims"][:1] * 2}, "two claims are called naive"),
    (
        {"factorials": {"f": {"label": "f", "factors": {"a": "a"}, "cells": ["mse"]}}},
        "1 factors with 1 cells; give one factor or more, and an arm for every combination",
    ),
    (
        {"factorials": {"f": {"label": "f", "factors": {"a": "a"}, "cells": ["mse", "mze"]}}},
        "the plan names mze .did you mean .mse",
    ),
    (
        {"rates": ["own"]},
        "claim naive: rate=reference, at which no arm is confirmed; give own, or add",
    ),
    ({"arms": ["mse"]}, r"arms=\['mse'\]; give keys"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_PLANS)
def test_a_plan_that_cannot_be_meant_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        parse_plan(spoiled(**changes))


def test_a_score_that_is_no_share_may_differ_by_more_than_one():
    for metric in ("test/nll", "test/brier"):
        assert parse_plan(spoiled(**claim(metric=metric, smallest_effect=1.5))).claims


def test_a_missing_key_is_named():
    plan = tiny_plan()
    del plan["values"]
    with pytest.raises(ValueError, match="the plan has no 'values'; run the study again"):
        parse_plan(plan)


@pytest.mark.parametrize("content", [None, '{"study": '])
def test_an_unreadable_plan_names_its_file(tmp_path, content):
    if content is not None:
        (tmp_path / "study.json").write_text(content)
    with pytest.raises(ValueError, match=r"study\.json: no readable plan"):
        load_plan(tmp_path)


def test_a_plan_without_confirming_runs_is_a_plan(tmp_path):
    plan = tiny_plan()
    for key in ("confirm", "chosen", "claims"):
        del plan[key]
    (tmp_path / "study.json").write_text(json.dumps(plan))
    assert load_plan(tmp_path).confirm == ()


def test_the_reference_arm_has_one_rate_by_two_names():
    plan = tiny_plan()
    plan["confirm"] = [
        run
        for run in plan["confirm"]
        if (run["arm"], run["rate"]) != ("cross_entropy", "reference")
    ]
    parsed = parse_plan(plan)
    own = parsed.confirming(Side("cross_entropy", "own"))
    assert [run.seed for run in own] == list(CONFIRMING_SEEDS)
    assert parsed.confirming(Side("cross_entropy", "reference")) == own


def test_a_run_planned_twice_is_expected_once():
    expected = parse_plan(tiny_plan()).expected()
    # Three arms, three rates, three seeds; mse's own rate is the reference's, mse_softmax's not.
    assert len(expected) == 27 + 4 * len(CONFIRMING_SEEDS)


def test_a_plan_is_what_its_file_says():
    plan = tiny_plan()
    plan["claims"][0]["beyond"] = {side: plan["claims"][0][side] for side in ("left", "right")}
    plan["claims"].append(QUANTITY | {"at_least": 0})
    parsed = parse_plan(plan)
    assert parse_plan(json.loads(json.dumps(parsed.to_json()))) == parsed
    assert parsed.claims[-1].predicted == (0, math.inf)
