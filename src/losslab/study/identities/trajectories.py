"""S6 and S10: cross-entropy, divergence and negative log-likelihood train the same network."""

import numpy as np

from losslab.figures import Curve, Drawing, Panel
from losslab.report.evidence import Measurement, Quantity
from losslab.study.measure import Runs
from losslab.study.over_seeds import pairs
from losslab.study.points import Point
from losslab.study.reading import final_weights, record

_ALL = slice(None)
_LOSSES = {"smoothed": "label_smoothing"}


def equal_runs(runs: Runs) -> Measurement:
    """Compare the final weights of runs that differ in nothing but the name of their loss.

    Needs the sets ``cross_entropy``, ``nll``, ``kl_divergence`` and, to show that weights can
    differ at all, ``smoothed``; all with the same seeds.

    Returns:
        ``nll``, ``kl_divergence``, ``smoothed``: the largest difference from the weights under
        cross-entropy (for ``smoothed`` the smallest such difference over the seeds);
        ``objective``: that of the objectives logged under cross-entropy and ``nll``.
    """
    reference = runs["cross_entropy"]
    gaps = {
        name: [_gap(*pair) for pair in pairs(reference, runs[name])]
        for name in ("nll", "kl_divergence", "smoothed")
    }
    what = "|weight − weight under cross-entropy| after training, same seed"
    quantities = {
        name: Quantity(value=max(gaps[name]), n=len(gaps[name]), what=f"largest {what}")
        for name in ("nll", "kl_divergence")
    }
    quantities["smoothed"] = Quantity(
        value=min(gaps["smoothed"]),
        n=len(gaps["smoothed"]),
        what=f"largest {what}; labels smoothed; the smallest over the seeds",
    )
    differences = [
        abs(a - b)
        for left, right in pairs(reference, runs["nll"])
        for a, b in zip(_objective(left)[1], _objective(right)[1], strict=True)
    ]
    quantities["objective"] = Quantity(
        value=max(differences),
        n=len(differences),
        what="largest difference of the objectives logged in the same step, nats",
    )
    return Measurement(quantities=quantities, drawings=[_drawing(runs)])


def _drawing(runs: Runs) -> Drawing:
    def curve(name: str, label: str, *, marks: slice = _ALL, line: bool = True) -> Curve:
        steps, values = _objective(runs[name][0])
        return Curve(
            label=label, x=steps[marks], y=values[marks], loss=_LOSSES.get(name, name), line=line
        )

    return Drawing(
        name="trajectories",
        caption="Three names for one curve: the objective in nats while training under "
        "cross-entropy (line), KL divergence and negative log-likelihood (every fourth record of "
        "each as a mark, so that all can be seen). Smoothed labels, another loss, leave the curve "
        "at once. One seed.",
        panels=[
            Panel(
                title="One trajectory, three names",
                x_label="step",
                y_label="objective, nats",
                y_log=True,
                curves=[
                    curve("cross_entropy", "cross-entropy"),
                    curve("kl_divergence", "KL divergence", marks=slice(0, None, 4), line=False),
                    curve("nll", "negative log-likelihood", marks=slice(2, None, 4), line=False),
                    curve("smoothed", "cross-entropy, smoothed labels"),
                ],
            )
        ],
    )


def _gap(left: Point, right: Point) -> float:
    return float(np.abs(final_weights(left) - final_weights(right)).max())


def _objective(point: Point) -> tuple[list[float], list[float]]:
    return record(point, "train/objective")
