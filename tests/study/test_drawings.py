"""Drawings of what runs recorded, from files written here with known numbers."""

import json
import math
from dataclasses import replace

import pytest
from omegaconf import DictConfig
from scipy import stats

from losslab.figures.panels import draw_drawings
from losslab.recording import Run
from losslab.study.drawings import line, over_key, over_training, profile, reliability, surface

RELIABILITY = "why/calibration/reliability"


@pytest.fixture
def make_point(tmp_path):
    made = []

    def make(*, loss="mse", metrics=(), curves=()):
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(folder)
        run = Run(root=tmp_path, group="", seed=0, choices={"loss": loss}, directory=folder)
        for path, records in ((run.files.metrics, metrics), (run.files.curves, curves)):
            lines = [json.dumps({"step": step} | record) for step, record in enumerate(records)]
            path.write_text("\n".join(lines))
        return run

    return make


def only_panels(measured, tmp_path, *, figures=1):
    """Return the panels of the one figure, having drawn it."""
    assert len(draw_drawings(measured.drawings, tmp_path / "figures")) == figures
    return measured.drawings[0].panels if figures else []


def test_over_training_is_the_mean_over_seeds_where_all_have_a_number(make_point, tmp_path):
    values = {0: (1.0, 4.0), 1: (2.0, 6.0), 2: (3.0, float("nan"))}
    points = [
        make_point(metrics=[{"epoch": e, "why/x": pair[seed]} for e, pair in values.items()])
        for seed in (0, 1)
    ]
    measured = over_training({"arm": points}, tag="why/x", name="x", title="X", y_label="x")
    (panel,) = only_panels(measured, tmp_path)
    (curve,) = panel.curves
    assert (curve.x, curve.y, curve.loss) == ([0.0, 1.0], [2.5, 4.0], "mse")
    low, high = stats.t.interval(0.95, 1, loc=2.5, scale=stats.sem([1.0, 4.0]))
    assert (curve.low[0], curve.high[0]) == pytest.approx((low, high))


def test_over_a_key_of_the_configuration(make_point, tmp_path):
    def points(values, **loss):
        made = [make_point(loss=loss.pop("named", "mse")) for _ in values]
        for run, value in zip(made, values, strict=True):
            run.files.summary.write_text(json.dumps({"why/x": value}))
        return [replace(run, composed=DictConfig({"loss": loss})) for run in made]

    runs = {"one": points([1.0, 3.0], m=1.0), "four": points([5.0, 5.0], m=4.0)}
    runs["nine"] = points([7.0, math.nan], m=9.0)
    panels = {"P": {"Squared": ["one", "four", "nine"], "Cross": ["without"]}}
    measured = over_key(
        runs | {"without": points([6.0, 8.0], named="cross_entropy")}, key="loss.m",
        metric="why/x", panels=panels, name="x", title="X", x_label="M", y_label="x",
    )  # fmt: skip
    (panel,) = only_panels(measured, tmp_path)
    squared, cross = panel.curves
    assert (panel.title, squared.x[:2], squared.y[:2]) == ("P", [1.0, 4.0], [2.0, 5.0])
    assert (cross.x, cross.y, cross.loss) == ([1.0, 9.0], [7.0, 7.0], "cross_entropy")
    (table,) = measured.tables
    assert table.columns == ["", "M", "x", "n"]
    assert table.rows == [
        ["P: Squared", "1", "2 [−10.7, 14.7]", "2"],
        ["P: Squared", "4", "5 [5, 5]", "2"],
        ["P: Squared", "9", "7 [−inf, inf]", "1"],
        ["P: Cross", "–", "7 [−5.71, 19.7]", "2"],
    ]


def test_a_profile_leaves_out_far_outliers_and_says_so(make_point, tmp_path):
    curve = {"p_true": [0.9, 0.1, 0.5], "mean": [1e-54, 0.2, 0.3]}
    runs = {"one": [make_point(curves=[{"why/x": curve}])]}
    about = {"curve": "why/x", "name": "x", "title": "X", "x_label": "p", "y_label": "x"}
    measured = profile(runs, **about)
    for panel in only_panels(measured, tmp_path):
        assert (panel.curves[0].x, panel.curves[0].y) == ([0.1, 0.5], [0.2, 0.3])
    assert measured.drawings[0].caption == "X (3 points below 1e-10 left out)"  # one a panel
    linear = profile(runs, **about, logarithmic=False)
    assert linear.drawings[0].panels[0].curves[0].y == [0.2, 0.3, 1e-54]


def test_only_the_first_of_a_loss_has_its_colour(make_point, tmp_path):
    record = [{"epoch": 0, "why/x": 1.0}]
    sets = {name: [make_point(metrics=record)] for name in ("one", "two")}
    measured = over_training(
        sets, tag="why/x", name="x", title="X", y_label="x", labels={"two": "Two"}
    )
    (panel,) = only_panels(measured, tmp_path)
    assert [(curve.label, curve.loss) for curve in panel.curves] == [("one", "mse"), ("Two", None)]


def test_what_was_not_recorded_makes_no_figure(make_point, tmp_path):
    measured = surface({"arm": [make_point()]})
    assert only_panels(measured, tmp_path, figures=0) == []


def test_reliability_pools_the_examples_of_all_seeds(make_point, tmp_path):
    one = {"confidence": [0.2, 0.55, 0.95], "accuracy": [0, 0.5, 1.0], "count": [19.0, 20.0, 60.0]}
    two = {"confidence": [0.94], "accuracy": [0.5], "count": [20.0]}
    points = [make_point(curves=[{RELIABILITY: c, f"{RELIABILITY}_scaled": c}]) for c in (one, two)]
    panels = only_panels(reliability({"arm": points}), tmp_path)
    assert [panel.diagonal for panel in panels] == [True, True]
    (curve,) = panels[0].curves
    assert curve.x == pytest.approx([0.55, (0.95 * 60 + 0.94 * 20) / 80])
    assert curve.y == pytest.approx([0.5, (60 + 10) / 80])


def test_line_is_in_shares_of_the_fall(make_point, tmp_path):
    positions = [-0.25, 0.0, 0.5, 1.0]
    points = [
        make_point(curves=[{"why/landscape/line": {"position": positions, "loss": losses}}])
        for losses in ([12.0, 10.0, 6.0, 2.0], [4.0, 3.0, 3.0, 1.0])
    ]
    (panel,) = only_panels(line({"arm": points}), tmp_path)
    assert panel.curves[0].y == pytest.approx([(1.25 + 1.5) / 2, 1.0, (0.5 + 1.0) / 2, 0.0])


def test_surface_shows_the_first_seed(make_point, tmp_path):
    grid = [(x, y) for x in (-1.0, 0.0, 1.0) for y in (-1.0, 0.0, 1.0)]
    x, y = map(list, zip(*grid, strict=True))
    accuracy = [1 - abs(a * b) for a, b in grid]
    columns = {"x": x, "y": y, "loss": accuracy, "accuracy": accuracy}
    points = [make_point(curves=[{"why/landscape/surface": columns}]), make_point()]
    (panel,) = only_panels(surface({"arm": points}), tmp_path)
    assert (panel.field.x, panel.field.y, panel.field.z) == (x, y, accuracy)
