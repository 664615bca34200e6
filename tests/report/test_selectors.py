"""What a selector makes of the values of a run, and the direction in which a metric improves."""

import pytest

from losslab.recording import Run
from losslab.report import load_runs
from losslab.report.selectors import SELECTORS, direction, number
from losslab.study import measure
from report.factory import write_run

# Of the values 0.3, 0.9, 0.1, 0.5; a final one is that of the summary.
SELECTED = {
    "val/accuracy@start": 0.3,
    "val/accuracy@mean": 0.45,
    "val/accuracy@max": 0.9,
    "val/accuracy@min": 0.1,
    "val/accuracy@fall": 0.4,
    "val/accuracy": 0.75,
}


def test_what_a_selector_selects(tmp_path):
    path = write_run(tmp_path, "mse-0a/seed=0", curve=(0.3, 0.9, 0.1), accuracy=0.5)
    (path / "summary.json").write_text('{"val/accuracy": 0.75}')
    (run,) = load_runs(tmp_path)
    assert {metric: number(run, metric) for metric in SELECTED} == pytest.approx(SELECTED)
    measured = {metric: measure.number(Run.at(path), metric) for metric in SELECTED}
    assert measured == pytest.approx(SELECTED)
    assert {metric.partition("@")[2] for metric in SELECTED} == {*SELECTORS, ""}


DIRECTIONS = {
    "maximize": ("test/accuracy", "why/linear_probe/val/accuracy", "val/accuracy@min"),
    "minimize": (
        *("val/nll", "test/brier", "train/ece", "train/objective", "train/likelihood"),
        *("why/calibration/adaptive_ece", "why/calibration/brier_scaled", "val/nll@max"),
    ),
    None: ("optim/lr", "why/margins/margin", "val/accuracy@fall", "val/nll@start"),
}


@pytest.mark.parametrize("expected", DIRECTIONS)
def test_the_direction_in_which_a_metric_improves(expected):
    assert {metric: direction(metric) for metric in DIRECTIONS[expected]} == dict.fromkeys(
        DIRECTIONS[expected], expected
    )
