"""S6 and S10: cross-entropy, divergence and negative log-likelihood train the same network."""

import numpy as np

from losslab.report.evidence import Curve, Drawing, Measurement, Panel, Quantity
from losslab.study.measure import Runs
from losslab.study.over_seeds import pairs
from losslab.study.points import Point
from losslab.study.reading import final_weights, record


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
    labels = {
        "cross_entropy": "cross-entropy",
        "kl_divergence": "KL divergence",
        "nll": "negative log-likelihood",
    }
    return Measurement(
        quantities=quantities,
        drawings=[
            Drawing(
                name="trajectories",
                caption="Three names for one curve: the objective of every recorded step under "
                "cross-entropy, KL divergence and negative log-likelihood (one seed). The lines "
                "lie on one another.",
                panels=[
                    Panel(
                        title="One trajectory, three names",
                        x_label="step",
                        y_label="objective, nats",
                        y_log=True,
                        curves=[
                            Curve(
                                label=label,
                                x=_objective(runs[name][0])[0],
                                y=_objective(runs[name][0])[1],
                                loss=name,
                            )
                            for name, label in labels.items()
                        ],
                    )
                ],
            )
        ],
    )


def _gap(left: Point, right: Point) -> float:
    return float(np.abs(final_weights(left) - final_weights(right)).max())


def _objective(point: Point) -> tuple[list[float], list[float]]:
    return record(point, "train/objective")
