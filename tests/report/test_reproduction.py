"""Committed results against fresh seeds, on runs with known predictions."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from losslab.report import load_plan, load_runs, parse_plan
from losslab.report.claims import Judgement
from losslab.report.committed import parse_results
from losslab.report.estimates import Sample
from losslab.report.estimates import compare as compare_samples
from losslab.report.findings import ACCURACY, find
from losslab.report.reproduction import compare_results, document
from losslab.report.results import study_data, to_json
from report.factory import run_name, tiny_plan, write_run


def found(root, seeds, *, mistakes, size=256, predictions=True):
    """Measure a study of one arm whose runs all make the same number of mistakes."""
    plan = tiny_plan() | {"arms": {"mse": {"label": "raw"}}, "reference": "mse", "rates": ["own"]}
    runs = [{"arm": "mse", "rate": "own", "value": 0.1, "seed": seed} for seed in seeds]
    runs = [run | {"run": run_name("mse", 0.1, run["seed"])} for run in runs]
    plan |= {"claims": [], "tune": [], "chosen": {"mse": 0.1}, "confirm": runs}
    labels = np.arange(size) % 4
    for run in runs:
        logits = 9 * np.eye(4)[(labels + (np.arange(size) < mistakes)) % 4]
        known = {"logits": logits.astype(np.float32), "labels": labels, "predictions": predictions}
        write_run(root, run["run"], **known)
    (root / "study.json").write_text(json.dumps(plan))
    return find(load_plan(root), load_runs(root))


def compared(tmp_path, mistakes, **options):
    old = found(tmp_path / "old", range(5), mistakes=0, **options)
    committed = parse_results(json.loads(to_json(study_data(old))))
    new = found(tmp_path / "new", range(10, 13), mistakes=mistakes, **options)
    return compare_results(committed, new)


@pytest.mark.parametrize(
    ("mistakes", "size", "predictions", "reproduced"),
    [
        (0, 256, True, True),
        (1, 256, True, True),  # one example that a seed gets wrong or right
        (30, 256, True, False),
        (1, 10_000, True, True),
        (30, 10_000, True, False),
        (1, 1000, False, True),  # within the digits shown
        (30, 1000, False, False),
    ],
)
def test_seeds_that_all_agree_have_the_noise_of_one_example(
    tmp_path, mistakes, size, predictions, reproduced
):
    reproduction = compared(tmp_path, mistakes, size=size, predictions=predictions)
    (accuracy,) = (row for row in reproduction.numbers if row.metric == ACCURACY)
    assert accuracy.committed == 1
    assert accuracy.reproduced == reproduced
    spread = 1 / size if predictions else 0.0005
    freedom = 5 + 3 - 2
    assert accuracy.expected.low < 1 - spread * math.sqrt(1 / 5 + 1 / 3) * freedom / 2


def test_no_error_is_larger_than_the_metrics_range(tmp_path):
    reproduction = compared(tmp_path, 1, size=2)
    (accuracy,) = (row for row in reproduction.numbers if row.metric == ACCURACY)
    assert accuracy.notices > 1
    rows = document("tiny", reproduction, {}).content["numbers"].rows
    assert ["±100.0" in row for row in rows].count(True) == 1


ERROR = 0.002  # standard error of a difference


def difference(mean):
    """Compare five seeds whose differences have this mean."""
    right, seeds = np.full(5, 0.9), tuple(range(5))
    moved = right + mean + ERROR * math.sqrt(5 / 2.5) * np.arange(-2, 3)
    sides = (Sample(metric=ACCURACY, seeds=seeds, values=values) for values in (moved, right))
    return compare_samples(*sides)


@pytest.mark.parametrize(
    ("mean", "verdict", "opposed"),
    [(-0.05, "supported", False), (-0.03, "smaller", False), (-0.02, "smaller", True)],
)
def test_a_verdict_is_opposed_only_by_the_wider_interval(mean, verdict, opposed):
    about, old = tiny_plan()["claims"][0], difference(-0.05)  # less by 0.04 or more
    sides = {side: vars(getattr(old, side)) for side in ("left", "right")}
    claim = about | {"verdict": "supported", "measured": vars(old) | sides}
    data = {"study": "tiny", "command": "losslab study tiny", "claims": [claim]}
    plan = parse_plan(tiny_plan() | {"claims": [about]})
    judged = [Judgement(plan.claims[0], difference(mean))]
    new = SimpleNamespace(plan=plan, measured={}, runs={}, differences=judged)
    (row,) = compare_results(parse_results(json.loads(to_json(data))), new).claims
    assert (row.new_verdict, row.opposed) == (verdict, opposed)
    # Two comparisons, of the difference and of the verdict, share the 0.005.
    half = stats.t.ppf(1 - 0.005 / 2 / 2, 8) * ERROR * math.sqrt(5) * math.sqrt(1 / 5 + 1 / 5)
    assert row.expected.high - row.committed == pytest.approx(half, rel=1e-3)
