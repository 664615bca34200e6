from dataclasses import replace

import numpy as np
import pytest

from losslab.report import load_runs, parse_plan, tuning_points
from losslab.report import select as select_points
from losslab.report.estimates import Sampler, compare, estimate, measure, within_range
from losslab.report.plan import Condition, PlannedRun, Side
from losslab.report.statistics import (
    Noise,
    binomial_interval,
    interval_with_seeds,
    noise_of,
    t_interval,
)
from losslab.report.tuning import SideSampler
from report.factory import run_name, tiny_plan, write_run, write_study


def select(plan, runs):
    return select_points(plan, tuning_points(plan, runs))


def grid(tmp_path, accuracies, *, seeds=2):
    """Write one arm's grid, {value: [accuracy a seed]} (None: the run is missing)."""
    plan = tiny_plan() | {"claims": [], "confirm": [], "chosen": {}}
    plan["tune"] = [
        {"arm": "mse", "value": value, "seed": seed, "run": run_name("mse", value, seed)}
        for value in accuracies
        for seed in range(seeds)
    ]
    for value, finals in accuracies.items():
        for seed, final in enumerate(finals):
            if final is not None:
                write_run(tmp_path, run_name("mse", value, seed), accuracy=final)
    return parse_plan(plan)


def rechosen(tmp_path, plan, value):
    """Return the share of draws of the tuning seeds that choose the value."""
    plan = replace(plan, chosen={"mse": value})
    return SideSampler(load_runs(tmp_path), plan).rechosen()["mse"]


def test_the_value_with_the_highest_mean_is_chosen(tmp_path):
    plan = grid(tmp_path, {0.01: [0.7, 0.7], 0.1: [0.6, 0.9], 1.0: [0.5, 0.5]})
    choice = select(plan, load_runs(tmp_path))["mse"]
    assert (choice.value, choice.bracketed) == (0.1, True)


def test_a_given_value_is_not_chosen(tmp_path):
    plan = replace(grid(tmp_path, {0.01: [0.9, 0.9], 0.1: [0.6, 0.9]}), given={"mse": 0.1})
    runs = load_runs(tmp_path)
    choice = select(plan, runs)["mse"]
    assert (choice.value, choice.bracketed) == (0.1, True)
    sampler = SideSampler(runs, replace(plan, chosen={"mse": 0.1}))
    assert sampler.rechosen() == {}
    assert sampler.side(Side("mse", "own"), "val/accuracy").choice is None  # hence no noise of it


@pytest.mark.parametrize("best", [0.01, 1.0])
def test_a_best_value_at_the_edge_is_not_bracketed(tmp_path, best):
    plan = grid(tmp_path, {v: [0.9 if v == best else 0.5] * 2 for v in (0.01, 0.1, 1.0)})
    choice = select(plan, load_runs(tmp_path))["mse"]
    assert (choice.value, choice.bracketed) == (best, False)


def test_of_equal_values_the_smallest_is_chosen(tmp_path):
    # The means are equal but for rounding: 0.1 + 0.2 and 0.15 + 0.15.
    plan = grid(tmp_path, {0.01: [0.0, 0.0], 0.1: [0.15, 0.15], 1.0: [0.1, 0.2]})
    assert select(plan, load_runs(tmp_path))["mse"].value == 0.1
    assert rechosen(tmp_path, plan, 0.1) == pytest.approx(0.75, abs=0.03)  # not on seeds 1, 1


def test_a_condition_may_choose_by_a_tag_of_its_own(tmp_path):
    plan = grid(tmp_path, {0.01: [0.7, 0.7], 0.1: [0.6, 0.6]})
    best = "train/accuracy"  # not recorded here: nothing is chosen by it
    conditions = {"own": Condition("own", select=best), "usual": Condition("usual")}
    arms = {f"mse@{name}": replace(plan.arms["mse"], condition=name) for name in conditions}
    tune = tuple(replace(run, arm=arm) for arm in arms for run in plan.tune)
    under = replace(plan, arms=arms, conditions=conditions, tune=tune, reference="mse")
    assert [under.select_of(arm) for arm in arms] == [best, "val/accuracy"]
    found = select(under, load_runs(tmp_path))
    assert {arm: choice.value for arm, choice in found.items()} == {"mse@usual": 0.01}


def test_an_arm_with_a_missing_run_is_not_chosen(tmp_path):
    plan = grid(tmp_path, {0.01: [0.7, 0.7], 0.1: [0.6, None]})
    runs = load_runs(tmp_path)
    assert select(plan, runs) == {}
    assert [(p.n, p.planned) for p in tuning_points(plan, runs)] == [(2, 2), (1, 2)]


def test_a_failed_run_is_missing(tmp_path):
    plan = grid(tmp_path, {0.01: [0.7, 0.7], 0.1: [0.6, None]})
    write_run(tmp_path, run_name("mse", 0.1, 1), status="failed", error="RuntimeError: no")
    assert select(plan, load_runs(tmp_path)) == {}


def test_a_diverged_run_counts_with_its_last_accuracy(tmp_path):
    plan = grid(tmp_path, {0.01: [0.7, 0.7], 0.1: [0.9, None]})
    write_run(tmp_path, run_name("mse", 0.1, 1), status="diverged", accuracy=0.1)
    runs = load_runs(tmp_path)
    assert select(plan, runs)["mse"].value == 0.01
    assert [(p.mean, p.diverged) for p in tuning_points(plan, runs)] == [
        (pytest.approx(0.7), 0),
        (pytest.approx(0.5), 1),
    ]


def test_a_run_that_diverged_before_its_first_evaluation_rules_its_value_out(tmp_path):
    plan = grid(tmp_path, {0.01: [0.2, 0.2], 0.1: [0.9, None]})
    write_run(tmp_path, run_name("mse", 0.1, 1), status="diverged", accuracy=None, curve=())
    runs = load_runs(tmp_path)
    assert select(plan, runs)["mse"].value == 0.01
    # No accuracy is invented for it.
    assert tuning_points(plan, runs)[1].mean == pytest.approx(0.9)
    assert rechosen(tmp_path, plan, 0.01) == pytest.approx(0.75, abs=0.03)  # not on seeds 0, 0


def test_a_whole_study_chooses_for_every_arm(tmp_path):
    write_study(tmp_path, tiny_plan())
    choices = select(parse_plan(tiny_plan()), load_runs(tmp_path))
    assert {arm: choice.value for arm, choice in choices.items()} == tiny_plan()["chosen"]
    assert {arm: choice.bracketed for arm, choice in choices.items()} == {
        "cross_entropy": True,
        "mse": True,
        "mse_softmax": False,
    }


def study_of_one_arm(tmp_path, tuned, confirmed):
    """Write a tuned and confirmed arm; return its plan and the sample of its confirming runs."""
    plan = grid(tmp_path, tuned)
    tuning_value = select(plan, load_runs(tmp_path))["mse"].value
    names = [run_name("mse", tuning_value, seed) for seed in range(100, 100 + len(confirmed))]
    for name, accuracy in zip(names, confirmed, strict=True):
        write_run(tmp_path, name, accuracy=accuracy, predictions=False)
    runs = [PlannedRun("mse", tuning_value, int(n[-3:]), n, "own") for n in names]
    plan = replace(plan, chosen={"mse": tuning_value}, confirm=tuple(runs))
    sampler = SideSampler(load_runs(tmp_path), plan)
    return sampler, sampler.side(Side("mse", "own"), "val/accuracy")


def test_a_choice_that_every_draw_repeats_adds_no_noise(tmp_path):
    sampler, sample = study_of_one_arm(tmp_path, {0.01: [0.5, 0.6], 0.1: [0.8, 0.9]}, [0.8, 0.9])
    assert sampler.rechosen() == {"mse": 1.0}
    assert estimate(sample).interval == within_range(t_interval(sample.values), "val/accuracy")


def test_a_choice_by_luck_widens_the_interval(tmp_path):
    # On seeds 0, 0 the draw chooses 0.01, whose accuracy is 0.04 lower; on half and on 1, 1 not.
    tuned = {0.01: [0.8, 0.6], 0.1: [0.7, 0.78]}
    sampler, sample = study_of_one_arm(tmp_path, tuned, [0.71, 0.72, 0.73, 0.72])
    (again,) = sampler.rechosen().values()
    assert again == pytest.approx(0.75, abs=0.03)
    found, seeds = estimate(sample), noise_of(sample.values)
    assert found.covers == "seeds and choice of value"
    choice = Noise((1 - again) * 0.04**2, 1)
    assert found.interval == pytest.approx(interval_with_seeds(found.mean, seeds, choice))
    assert found.interval.low < t_interval(sample.values).low - 0.1


def test_at_the_references_value_the_noise_is_that_of_its_choice(tmp_path):
    tuned = {
        "cross_entropy": {0.01: [0.8, 0.6], 0.1: [0.7, 0.78]},  # by luck
        "mse": {0.01: [0.5, 0.5], 0.1: [0.9, 0.9]},  # surely
    }
    plan = tiny_plan() | {"claims": [], "confirm": [], "chosen": dict.fromkeys(tuned, 0.1)}
    plan["tune"] = []
    for arm, by_value in tuned.items():
        for value, accuracies in by_value.items():
            for seed, accuracy in enumerate(accuracies):
                name = run_name(arm, value, seed)
                write_run(tmp_path, name, accuracy=accuracy, predictions=False)
                plan["tune"].append({"arm": arm, "value": value, "seed": seed, "run": name})
    sampler = SideSampler(load_runs(tmp_path), parse_plan(plan))
    own, reference = (
        sampler.side(Side("mse", rate), "val/accuracy").choice.noise().variance
        for rate in ("own", "reference")
    )
    assert own == 0
    again = sampler.rechosen()["cross_entropy"]
    assert reference == pytest.approx((1 - again) * 0.4**2)
    assert again < 0.8


def test_sides_whose_choice_moves_together_keep_a_sharp_difference(tmp_path):
    _, sample = study_of_one_arm(tmp_path, {0.01: [0.8, 0.6], 0.1: [0.7, 0.78]}, [0.7, 0.74])
    assert compare(sample, sample).interval == (0.0, 0.0)


def test_runs_that_lost_a_class_are_counted_beside_the_mean(tmp_path):
    names = tuple(run_name("mse", 0.1, seed) for seed in range(5, 8))
    labels = np.arange(40) % 4
    logits = 9 * np.eye(4, dtype=np.float32)[labels]
    blind = np.where(np.arange(4) == 3, -9.0, logits).astype(np.float32)
    for name, given in zip(names, (logits, logits, blind), strict=True):
        write_run(tmp_path, name, logits=given, labels=labels)
    found = measure(Sampler(load_runs(tmp_path)).sample(names, "test/accuracy"))
    assert (found.estimate.mean, found.given_success.mean) == (pytest.approx(11 / 12), 1.0)
    assert (found.lost, found.lost_share) == ((7,), binomial_interval(1, 3))


def test_a_side_without_tuning_runs_at_its_value_adds_no_noise_of_choice(tmp_path):
    plan = tiny_plan()
    plan["tune"] = [r for r in plan["tune"] if (r["arm"], r["value"]) != ("mse", 0.1)]
    plan = parse_plan(plan)
    sampler = SideSampler(load_runs(write_study(tmp_path, tiny_plan())), plan)
    mse = sampler.side(Side("mse", "reference"), "test/accuracy")
    reference = sampler.side(Side("cross_entropy", "own"), "test/accuracy")
    assert estimate(mse).covers == "seeds and test examples"
    assert compare(mse, reference).covers == "seeds, test examples and choice of value"
