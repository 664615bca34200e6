"""Committed results against fresh seeds, on runs with known predictions."""

import json
import math

import numpy as np
import pytest

from losslab.report import load_plan, load_runs
from losslab.report.committed import parse_results
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
