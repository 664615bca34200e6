"""Charts of one run: reliability, gradient profile, loss along a line, weights with their prior."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from losslab.pictures.canvas import PALE, Chart, Picture, Range, from_zero
from losslab.styles import BLACK

Columns = Mapping[str, Sequence[float]]
FloatArray = npt.NDArray[np.float64]

_PARTS = 200  # of a curve


def reliability_diagram(columns: Columns, *, ece: float, color: str) -> Picture:
    """Accuracy against confidence, and how many examples each bin of confidence holds.

    Args:
        columns: ``confidence``, ``accuracy`` and ``count``, as
            :func:`losslab.metrics.reliability` gives them.
        ece: Expected calibration error, in [0, 1].
        color: The loss's.
    """
    chart = Chart(
        f"Reliability, validation part: ECE {ece:.3f}",
        x=Range(0, 1),
        y=Range(0, 1),
        x_label="confidence (dots: as large as the bin has examples)",
        y_label="accuracy",
    )
    chart.curve([0, 1], [0, 1], color=PALE, width=1)
    chart.curve(columns["confidence"], columns["accuracy"], color=color)
    _dots(chart, columns["confidence"], columns["accuracy"], columns["count"], color=color)
    return chart.picture()


def gradient_profile(columns: Columns, *, color: str) -> Picture:
    """Mean norm of the logit gradient against the probability of the true class.

    Args:
        columns: ``p_true``, ``mean`` and ``count``: the curve of ``why/logit_gradients/profile``.
        color: The loss's.
    """
    chart = Chart(
        "Where the gradient is, training examples",
        x=Range(0, 1),
        y=from_zero(columns["mean"]),
        x_label="p_y, probability of the true class (dots: as large as their number)",
        y_label="mean norm of the gradient in the logits",
    )
    chart.curve(columns["p_true"], columns["mean"], color=color)
    _dots(chart, columns["p_true"], columns["mean"], columns["count"], color=color)
    return chart.picture()


def loss_line(columns: Columns, *, color: str) -> Picture:
    """Mean loss on the straight line from the initial to the final weights.

    Args:
        columns: ``position`` and ``loss``: the curve of ``why/landscape/line``.
        color: The loss's.
    """
    position, loss = columns["position"], columns["loss"]
    low, high = min(loss), max(loss)
    pad = 0.05 * (high - low) or 1.0
    chart = Chart(
        "Loss from the initial to the final weights",
        x=Range(min(position), max(position)),
        y=Range(low - pad, high + pad),
        x_label="0: initial weights, 1: final weights",
        y_label="mean loss",
    )
    for end in (0, 1):
        chart.curve([end, end], [low - pad, high + pad], color=PALE, width=1)
    chart.curve(position, loss, color=color)
    return chart.picture()


def weight_histogram(
    counts: Sequence[int],
    edges: Sequence[float],
    *,
    color: str,
    prior: Callable[[FloatArray], FloatArray] | None = None,
    prior_name: str = "",
) -> Picture:
    """Density of all weights, with the prior's.

    Args:
        counts: B numbers, of weights by bin.
        edges: B + 1 numbers, ascending.
        color: The loss's.
        prior: From weights ``(N,)`` to their density.
        prior_name: In words.
    """
    widths = np.diff(edges)
    density = np.asarray(counts) / (sum(counts) * widths)
    x = np.linspace(edges[0], edges[-1], _PARTS + 1)  # with 0 among them where it is the middle
    height = None if prior is None else prior(x)
    tallest = [density.max(), *([] if height is None else [height.max()])]
    chart = Chart(
        f"All weights; line: {prior_name}" if prior_name else "All weights",
        x=Range(edges[0], edges[-1]),
        y=from_zero(tallest),
        x_label="weight",
        y_label="density",
    )
    chart.bars(list(edges), density.tolist(), color=PALE if height is not None else color)
    if height is not None:
        chart.curve(x.tolist(), height.tolist(), color=color if color != PALE else BLACK)
    return chart.picture()


def _dots(
    chart: Chart, xs: Sequence[float], ys: Sequence[float], counts: Sequence[float], *, color: str
) -> None:
    most = max(counts, default=1.0)
    for x, y, count in zip(xs, ys, counts, strict=True):
        chart.dot(*chart.at(x, y), radius=3 + 5 * (count / most) ** 0.5, color=color)
