"""A study's findings as figures."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

from losslab.figures import Curve, Panel
from losslab.figures.styles import LOSS_STYLES
from losslab.report import build, figures, load_plan, load_runs
from losslab.report.estimates import Comparison, Estimate
from losslab.report.findings import find
from losslab.report.plan import Condition
from losslab.report.statistics import Interval


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


def test_an_arm_far_below_the_others_is_marked_at_the_edge(findings):
    measured = {}
    for (arm, rate, metric), each in findings.measured.items():
        mean = 0.1 if (arm, rate) == ("mse_softmax", "own") else 0.97
        level = Estimate(3, mean, Interval(mean - 0.01, mean + 0.01), "seeds")
        measured[arm, rate, metric] = replace(each, estimate=level)
    figure = figures.accuracy(replace(findings, measured=measured))
    assert "◂: lower" in figure.get_supxlabel()
    limits = [axis.get_xlim() for axis in figure.axes]
    assert all(90 < low < 96 and high > 98 for low, high in limits)
    marks = [line.get_xdata()[0] for axis in figure.axes for line in axis.lines
             if line.get_marker() == "<"]  # fmt: skip
    assert marks == [limits[0][0]]


def test_learning_curves_hold_every_epoch(findings):
    axis = figures.learning_curves(findings).axes[0]
    assert [line.get_label() for line in axis.lines] == [
        arm.label for arm in findings.plan.arms.values()
    ]
    assert all(line.get_xdata().tolist() == [1, 2, 3] for line in axis.lines)


def test_learning_curves_say_which_loss_ends_below_their_axis(findings, monkeypatch):
    module = importlib.import_module("losslab.report.figures.accuracy")  # a function, too
    means = module.means_over_seeds

    def mean_curve(runs, *arguments, **options):
        result = means(runs, *arguments, **options)
        level = 0.48 if runs[0].loss == "mse_softmax" else 0.97
        return result._replace(values=np.full_like(result.values, level))

    monkeypatch.setattr(module, "means_over_seeds", mean_curve)
    monkeypatch.setattr(module, "zoom", lambda values: 0.9)  # as with more losses
    axis = figures.learning_curves(findings).axes[0]
    (note,) = axis.texts
    styles = {line.get_label(): line.get_color() for line in axis.lines}
    label = findings.plan.arms["mse_softmax"].label
    assert (note.get_text(), note.get_color()) == ("▾ 48", styles[label])
    assert axis.get_xlabel() == "epoch  (▾: ends below)"


@pytest.mark.slow
def test_a_figure_shows_each_loss_in_its_colour(tiny_study, tmp_path):
    (path,) = [p for p in build(tiny_study, out=tmp_path) if p.name == "accuracy.png"]
    pixels = {tuple(pixel) for pixel in (imread(path)[..., :3].reshape(-1, 3) * 255).round()}
    for color in ((0, 0, 0), (0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)):
        assert color in pixels


def test_a_lost_class_does_not_squeeze_the_differences_into_a_line(findings):
    side = Estimate(n=2, mean=0.9, interval=None, covers="seeds")

    def gap(difference, low, high, lost):
        return Comparison(
            n=2,
            mean=difference,
            interval=Interval(low, high),
            covers="seeds",
            by_seed={0: difference, 1: lost},
            left=side,
            right=side,
            p=0.5,
        )

    conditions = {name: Condition(name, at) for name, at in (("short", 1.0), ("long", 2.0))}
    gaps = {
        "mse@short": gap(-0.08, -0.10, -0.06, -0.78),
        "mse@long": gap(-0.01, -0.02, 0.0, -0.01),
    }
    arms = {
        f"{name}@{condition}": replace(arm, condition=condition)
        for name, arm in findings.plan.arms.items()
        for condition in conditions
    }
    parts = {"arms": arms, "conditions": conditions, "claims": (), "tune": (), "confirm": ()}
    plan = replace(findings.plan, **parts)
    everything, close = figures.gap_by_condition(replace(findings, plan=plan, gaps=gaps)).axes
    assert -15 < everything.get_ylim()[0] < -10
    assert close.get_ylim() == (-2.5, 2.5)

    def at_the_edge(axis):
        low = axis.get_ylim()[0]
        arrows = [text for text in axis.texts if text.get_position()[1] == low]
        assert {arrow.get_text() for arrow in arrows} == {"↓"}
        return [arrow.get_weight() for arrow in arrows]

    seed, mean = "normal", "bold"
    assert at_the_edge(everything) == [seed]
    assert at_the_edge(close) == [seed, mean]


def test_the_grid_is_drawn_from_just_below_its_lowest_interval():
    style = LOSS_STYLES["mse"]
    curve = Curve(
        x=[0.1, 0.3], y=[0.85, 0.84], low=[0.84, 0.83], high=[0.86, 0.85], bars=True, style=style
    )
    figure = figures.by_value([Panel(title="", curves=[curve])], x_label="x", y_label="y", note="n")
    assert figure.axes[0].get_ylim()[0] == pytest.approx(0.825)
