"""What results.json says must follow from its own seeds, and from the study."""

import copy
import json
import math

import numpy as np
import pytest
from scipy import stats

from losslab.report import load_evidence, load_plan, load_runs, parse_plan
from losslab.report.committed import Number, parse_results
from losslab.report.contradictions import contradictions
from losslab.report.estimates import Sample, compare, measure
from losslab.report.findings import find
from losslab.report.results import study_data, to_json
from losslab.report.statistics import Interval
from report.factory import tiny_plan, write_old_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The plan and the results of a finished study."""
    root = write_old_study(tmp_path_factory.mktemp("study") / "tiny")
    plan = load_plan(root)
    data = study_data(find(plan, load_runs(root), load_evidence(root)))
    return plan, json.loads(to_json(data))


def number(data, arm="mse", metric="test/accuracy"):
    return data["arms"][arm]["confirmed"]["own"][metric]


def claim(data, name="level"):
    return next(claim for claim in data["claims"] if claim["id"] == name)


def narrow(number, mean):
    number["interval"] = [mean * (1 - 1e-5), mean * (1 + 1e-5)]


def move_seed(number, to):
    first, second, *_ = number["by_seed"]
    number["by_seed"][second] += number["by_seed"][first] - to
    number["by_seed"][first] = to


def twice_wrong(data):
    claim(data).update(verdict="contradicted")
    data["claims"].append(claim(data))


FALSIFIED = [
    (lambda d: d["arms"]["mse"]["confirmed"].pop("own"), "mse, test/nll is missing"),
    (lambda d: d["arms"]["mse"]["confirmed"].pop("reference"), "mse:reference, test/accuracy is"),
    (lambda d: d["arms"]["mse"]["confirmed"]["own"].pop("test/ece"), "mse, test/ece is missing"),
    (lambda d: number(d).clear(), "mse, test/accuracy is missing"),
    (lambda d: d["arms"]["mse"].pop("chosen"), "mse: the chosen value is missing"),
    (lambda d: d["arms"]["mse"].update(chosen=math.nan), "mse: chosen=nan is not a number"),
    (lambda d: d["claims"].remove(claim(d)), "claim level is missing"),
    (lambda d: d["claims"].append(claim(d)), "claim level appears 2 times"),
    (twice_wrong, "claim level: contradicted, but"),
    (lambda d: claim(d).update(id="new"), "claim new is not one of the study's"),
    (lambda d: claim(d, "naive").pop("measured"), "claim naive: supported, but its number is miss"),
    (lambda d: claim(d, "sure").pop("value"), "claim sure: supported, but its number is missing"),
    (lambda d: claim(d).update(statement="No."), "claim level: its statement differs"),
    (
        lambda d: claim(d, "sure").update(predicted="at least 0.3"),
        "claim sure: it differs from the study",
    ),
    (lambda d: claim(d, "sure").update(verdict="contradicted"), "claim sure: contradicted, but su"),
    (lambda d: claim(d, "exact").update(value=0.1), "claim exact: supported, but contradicted by"),
    (lambda d: narrow(number(d), number(d)["mean"]), "mse, test/accuracy: the interval is narrow"),
    (
        lambda d: narrow(claim(d)["measured"], claim(d)["measured"]["difference"]),
        "claim level: the interval is narrower than the noise of the seeds",
    ),
    (
        lambda d: claim(d)["measured"].update(interval=[0.5, 0.6]),
        "claim level: the difference is not in its interval",
    ),
    (lambda d: claim(d)["measured"].update(p=1e-4), "claim level: p does not match the seeds'"),
    (lambda d: claim(d, "naive")["measured"].update(p=0.5), "claim naive: p does not match the"),
    (lambda d: claim(d, "naive").update(p_holm=0.001), "claim naive: Holm's p does not follow"),
    (lambda d: claim(d, "weak").update(p_holm=0.001), "claim weak: Holm's p does not follow"),
    (lambda d: claim(d, "weak").update(p=1e-6), "claim weak: Holm's p does not follow"),
    (lambda d: number(d).update(n=80), "mse, test/accuracy: n is 80, but there are 8 seeds"),
    (lambda d: claim(d)["measured"].update(n=80), "claim level: n is 80, but there are 8 seeds"),
    (lambda d: move_seed(number(d), 1.5), "mse, test/accuracy: a value is not between 0 and 1"),
    (lambda d: number(d).update(mean=1.0001 * number(d)["mean"]), "mse, test/accuracy: the mean"),
    (lambda d: number(d).update(mean=-0.1), "mse, test/accuracy: a value is not between 0 and 1"),
]


@pytest.mark.parametrize(("falsify", "fault"), FALSIFIED, ids=[fault for _, fault in FALSIFIED])
def test_what_is_falsified_is_found_without_training(study, falsify, fault):
    plan, data = study
    assert list(contradictions(parse_results(data), plan)) == []
    falsified = copy.deepcopy(data)
    falsify(falsified)
    lines = list(contradictions(parse_results(falsified), plan))
    assert any(line.startswith(fault) for line in lines), lines
    assert len(set(lines)) == len(lines)


def test_what_an_unfinished_study_lacks_is_no_contradiction(study):
    plan, data = study
    data = copy.deepcopy(data)
    data["runs"]["complete"] = False
    del data["arms"]["mse"]["confirmed"]["own"], data["arms"]["mse"]["chosen"]
    data["claims"].pop(0)
    lines = list(contradictions(parse_results(data), plan))
    assert [line for line in lines if "missing" in line] == []


@pytest.mark.parametrize("high", [1.0, 0.95], ids=["whole", "clipped"])
@pytest.mark.parametrize(("covers", "freedom"), [("seeds", 4), ("seeds and test examples", 1e9)])
def test_without_the_seeds_values_their_variance_is_that_of_the_interval(covers, freedom, high):
    half = 0.01 * stats.t.ppf(0.975, freedom)
    interval = Interval(0.94 - half, min(0.94 + half, high))
    number = Number(n=5, mean=0.94, interval=interval, covers=covers)
    assert number.variance == pytest.approx(5 * 0.01**2)


def test_an_untestable_claim_may_have_a_number(study):
    """Where every run diverged, the last accuracies are compared but not judged."""
    plan, data = study
    data = copy.deepcopy(data)
    claim(data).update(verdict="untestable", reason="every run diverged")
    del claim(data)["p_holm"]
    lines = list(contradictions(parse_results(data), plan))
    assert [line for line in lines if "claim level" in line] == []


@pytest.mark.parametrize("seeds", [2, 3, 10, 17])
@pytest.mark.parametrize("metric", ["test/accuracy", "test/nll"])
def test_rounding_to_six_digits_is_no_contradiction(seeds, metric):
    random = np.random.default_rng(seeds)
    plan = parse_plan(tiny_plan() | {"claims": [tiny_plan()["claims"][1] | {"metric": metric}]})
    for _ in range(6):
        hard, spread = random.uniform(size=400), random.choice([1e-6, 1e-3, 0.05])
        sides = []
        for level in (0.9, 0.9 + spread):
            values = level + spread * random.normal(size=(seeds, 1)) + 0 * hard
            examples = (hard < values) * 1.0 if metric == "test/accuracy" else values + hard / 9
            sides.append(
                Sample(
                    metric=metric,
                    seeds=tuple(range(seeds)),
                    values=examples.mean(axis=1),
                    examples=examples if random.uniform() < 0.5 else None,
                    labels=np.zeros(400, dtype=int),
                    planned=tuple(map(str, range(seeds))),
                )
            )
        difference = compare(*sides)
        arms = {
            name: {"confirmed": {"own": {metric: vars(measure(side).estimate)}}}
            for name, side in zip(("mse", "cross_entropy"), sides, strict=True)
        }
        row = tiny_plan()["claims"][1] | {"metric": metric, "verdict": "inconclusive"}
        row["measured"] = {**vars(difference), "left": vars(difference.left)}
        row["measured"] |= {"right": vars(difference.right)}
        row |= {"reason": "not judged here"}
        data = {"study": "tiny", "command": "losslab study tiny", "arms": arms, "claims": [row]}
        data["runs"] = {"complete": False}
        committed = parse_results(json.loads(to_json(data)))
        assert list(contradictions(committed, plan)) == []
