import pytest

from losslab.figures import Curve, Drawing, Panel
from losslab.figures.panels import draw_panels, legend_columns


def labels(*values, **drawing):
    """Return the labels below each of several panels with curves at some values."""
    panels = [
        Panel(title="", x_log=True, ticks="values", curves=[Curve(x=x, y=[0.5] * len(x))])
        for x in values
    ]
    axes = draw_panels(Drawing(panels=panels, **drawing)).axes
    return [[label.get_text() for label in axis.get_xticklabels()] for axis in axes]


HALF_DECADES = [0.001, 0.0032, 0.01, 0.032, 0.1, 0.32, 1.0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.1, 0.32, 1.0], ["0.1", "0.32", "1"]),
        (HALF_DECADES, ["0.001", "0.01", "0.1", "1"]),
        ([0.5, 1, 2, 4, 8, 16, 32], ["0.5", "2", "8", "32"]),
        ([3e-5, 3e-4, 3e-3, 3e-2, 0.3, 3.0], ["0.0001", "0.001", "0.01", "0.1", "1"]),
        ([10 ** (place / 8) for place in range(-32, 33)], ["0.0001", "0.01", "1", "100", "10000"]),
    ],
)
def test_a_logarithmic_axis_has_numbers_over_all_of_its_length(values, expected):
    assert labels(values) == [expected]


def test_panels_with_one_axis_have_the_ticks_of_all():
    assert labels(HALF_DECADES, [0.1, 0.32], share=True)[1] == ["0.001", "0.01", "0.1", "1"]
    assert labels(HALF_DECADES, [0.1, 0.32], share="y")[1] == ["0.1", "0.32"]


def test_long_labels_make_one_column():
    assert [legend_columns(["x" * n, "y"], width=6.4) for n in (10, 39)] == [2, 1]


@pytest.mark.parametrize("count", [5, 6])
def test_each_loss_of_a_panel_has_a_colour_and_many_have_their_legend_below(count):
    losses = ["mse", "rescaled_mse", "cross_entropy", "label_smoothing", "mse_softmax", "brier"]
    curves = [Curve(x=[1, 2], y=[0, 1], label=loss, loss=loss) for loss in losses[:count]]
    figure = draw_panels(Drawing(panels=[Panel(title="", curves=curves)]))
    (axis,) = figure.axes
    assert len({line.get_color() for line in axis.lines}) == count
    assert (axis.get_legend() is None) == bool(figure.legends) == (count > 5)
