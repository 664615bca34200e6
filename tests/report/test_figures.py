"""A study's findings as figures."""

import pytest
from matplotlib.image import imread

from losslab.report import build, figures, load_plan, load_runs
from losslab.report.findings import find


@pytest.fixture(scope="module")
def findings(tiny_study):
    return find(load_plan(tiny_study), load_runs(tiny_study))


def forest(findings, metric):
    judgements = [each for each in findings.judgements if each.claim.metric == metric]
    metrics = dict.fromkeys(each.claim.metric for each in findings.judgements)
    return figures.claims(findings).axes[list(metrics).index(metric)], judgements


@pytest.mark.parametrize("metric", ["test/accuracy", "test/ece"])
def test_an_interval_within_the_shade_is_what_a_supported_claim_shows(findings, metric):
    axis, judgements = forest(findings, metric)
    shades, intervals = axis.patches, axis.lines[1::2]
    assert len(shades) == len(intervals) == len(judgements) > 0
    for judgement, shade, interval in zip(judgements, shades, intervals, strict=True):
        low, high = interval.get_xdata()
        inside = shade.get_x() <= low and high <= shade.get_x() + shade.get_width()
        assert inside == (judgement.verdict == "supported")
        drawn = [100 * bound for bound in judgement.comparison.interval]
        assert [low, high] == pytest.approx(drawn)


def test_an_effect_far_beyond_what_matters_needs_a_logarithmic_axis(findings):
    axis, _ = forest(findings, "test/accuracy")
    assert axis.get_xscale() == "symlog"
    assert "logarithmic beyond ±8" in axis.get_xlabel()
    axis, _ = forest(findings, "test/ece")
    assert axis.get_xscale() == "linear"
    assert "ECE (percentage points)" in axis.get_xlabel()


def test_a_panel_a_loss_shows_the_grid_its_choice_and_the_reference(findings):
    axes = figures.accuracy_by_value(findings).axes
    assert [axis.get_title(loc="left") for axis in axes] == [
        findings.plan.arms[arm].label for arm in findings.plan.arms
    ]
    for axis, arm in zip(axes, findings.plan.arms, strict=True):
        grid = {p.value: p.mean for p in findings.tuning if p.arm == arm}
        drawn = [dict(zip(*line.get_data(), strict=True)) for line in axis.lines]
        assert grid in drawn
        chosen = findings.chosen(arm)
        assert {chosen: grid[chosen]} in drawn


def test_learning_curves_hold_every_epoch(findings):
    axis = figures.learning_curves(findings).axes[0]
    assert [line.get_label() for line in axis.lines] == [
        arm.label for arm in findings.plan.arms.values()
    ]
    assert all(line.get_xdata().tolist() == [1, 2, 3] for line in axis.lines)


def test_a_figure_shows_each_loss_in_its_colour(tiny_study, tmp_path):
    (path,) = [p for p in build(tiny_study, out=tmp_path).files if p.name == "accuracy.png"]
    pixels = {tuple(pixel) for pixel in (imread(path)[..., :3].reshape(-1, 3) * 255).round()}
    for color in ((0, 0, 0), (0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)):
        assert color in pixels
