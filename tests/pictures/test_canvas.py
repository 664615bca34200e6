"""Pictures are drawn where they should be; what they look like is looked at by people."""

import io

import numpy as np
import pytest
from PIL import Image

from losslab.pictures import cells, charts
from losslab.pictures.canvas import Canvas, Chart, Range, from_zero, ticks

COLOR = "#D55E00"


def pixels(picture):
    image = Image.open(io.BytesIO(picture.png)).convert("RGB")
    assert image.size == (picture.width, picture.height)
    return np.asarray(image).astype(int)


def close_to(shown, color, *, within=40):
    return np.abs(shown - np.array(color)).max(axis=-1) < within


@pytest.mark.parametrize(
    "axis", [Range(0, 1), Range(-3, 1e4), Range(1e-9, 2e-9), Range(-7e-3, -6e-3), Range(99, 101)]
)
def test_ticks_are_few_round_and_inside(axis):
    found = ticks(axis)
    assert 2 <= len(found) <= 7
    assert all(axis.low - 1e-12 <= tick <= axis.high + 1e-12 for tick in found)
    steps = np.diff(found)
    assert steps == pytest.approx(steps[0])


def test_an_axis_of_nothing_has_a_length():
    assert from_zero([]) == from_zero([0.0]) == Range(0.0, 1.0)
    assert from_zero([2.0]).high > 2


def test_a_dot_is_where_the_axes_say():
    chart = Chart("", x=Range(0, 10), y=Range(-1, 1), x_label="", y_label="")
    x, y = chart.at(7.5, 0.5)
    chart.dot(x, y, radius=6, color=COLOR)
    found = np.argwhere(close_to(pixels(chart.picture()), (0xD5, 0x5E, 0)))
    assert found.mean(axis=0) == pytest.approx([y - 0.5, x - 0.5], abs=1)


def test_the_same_numbers_give_the_same_bytes():
    columns = {"confidence": [0.2, 0.9], "accuracy": [0.1, 0.8], "count": [3.0, 9.0]}
    first, second = (charts.reliability_diagram(columns, ece=0.1, color=COLOR) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("classes", [2, 10, 20, 100])
def test_a_confusion_matrix_is_darkest_where_all_are_right(classes):
    right = np.eye(classes) * 30
    shown = pixels(cells.confusion_matrix(right, [str(index) for index in range(classes)]))
    dark = close_to(shown, (0, 0x45, 0x7A))
    area = (300 / classes) ** 2 * classes
    assert dark.sum() == pytest.approx(area, rel=0.25)
    rows, columns = np.argwhere(dark).T
    assert np.corrcoef(rows, columns)[0, 1] > 0.7 + 0.2 * (classes > 2)


def test_a_row_without_examples_is_white():
    assert not close_to(
        pixels(cells.confusion_matrix(np.zeros((3, 3)), ["a", "b", "c"])), (0, 0x45, 0x7A)
    ).any()


def test_a_surface_is_darkest_where_the_loss_is_lowest():
    axis = np.linspace(-1, 1, 5)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis, indexing="ij"))
    loss = (x - 1) ** 2 + (y - 1) ** 2 + 0.1  # lowest at the upper right
    keep = (x > -1) | (y > -1)  # one point was not finite
    shown = pixels(
        cells.loss_surface({"x": x[keep].tolist(), "y": y[keep].tolist(), "loss": loss[keep]})
    )
    inside = shown[62:358, 42:338].sum(axis=-1)
    half = len(inside) // 2
    assert inside[:half, half:].mean() == min(
        inside[rows, columns].mean()
        for rows in (slice(half), slice(half, None))
        for columns in (slice(half), slice(half, None))
    )


@pytest.mark.parametrize("loss", [[2.0, 2.0], [0.0, -1.0], [1e-12, 5.0]])
def test_a_line_of_any_losses_is_drawn(loss):
    assert pixels(charts.loss_line({"position": [0.0, 1.0], "loss": loss}, color=COLOR)).min() < 255


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_filters_and_mistakes_of_any_number_of_channels(channels):
    random = np.random.default_rng(0)
    filters = random.normal(size=(70, channels, 3, 5))
    assert pixels(cells.first_layer(filters)).shape[1] > 8 * 40
    assert pixels(cells.first_layer(np.zeros((1, channels, 1, 1)))).min() < 200
    if channels in (1, 3):
        images = random.integers(0, 255, size=(7, channels, 8, 16)).astype(np.uint8)
        shown = pixels(cells.worst_mistakes(images, ["a as b\n90%"] * 7, wrong=9))
        assert (shown.min(axis=-1) < 250).mean() > 0.1
    assert pixels(cells.worst_mistakes(np.zeros((0, 1, 8, 8), np.uint8), [], wrong=0)).max() > 250


def test_the_prior_is_drawn_over_the_weights():
    counts, edges = np.histogram(np.random.default_rng(0).normal(size=999), bins=20, range=(-4, 4))

    def density(x):
        return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)

    numbers = counts.tolist(), edges.tolist()
    without = pixels(charts.weight_histogram(*numbers, color=COLOR))
    shown = pixels(
        charts.weight_histogram(*numbers, color=COLOR, prior=density, prior_name="Gaussian")
    )
    orange = (0xD5, 0x5E, 0)
    line, bars = close_to(shown, orange), close_to(without, orange)
    assert 0 < line.sum() < bars.sum() / 3
    assert line.any(axis=0).sum() > 300  # from one end to the other
    blank = Canvas(20, 20, title="").picture()
    assert pixels(blank).min() > 250
