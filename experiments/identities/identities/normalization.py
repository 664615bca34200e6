"""What becomes of −log q_y when nothing makes q a distribution (S8 in science.md)."""

import numpy as np

from identities import exact, figure
from losslab.figures import Curve, Drawing, Panel
from losslab.recording import Run
from losslab.report.formatting import quantity as measured
from losslab.report.measurement import Measurement, Quantity, TableOfNumbers
from losslab.study.measure import (
    Runs,
    curve_over_seeds,
    diverged,
    number,
    of_config,
    over_seeds,
    pairs,
    predictions,
    record,
)

_LABELS = {
    "exp": "q = exp(z)",
    "sigmoid": "q = sigmoid(z)",
    "softmax": "q = softmax(z)",
    "softmax_slow": "q = softmax(z), rate of exp",
}


def growth(runs: Runs) -> Measurement:
    """Compare runs of −log q_y with q = exp(z), sigmoid(z) and softmax(z).

    Needs the sets ``scores_exp``, ``scores_sigmoid``, ``scores_softmax`` and
    ``scores_softmax_slow``, which has the small learning rate of ``scores_exp``; the objective that
    they logged is the mean of −log q_y over a batch. ``scores_exp_fast`` has q = exp(z) at the
    learning rate of ``scores_sigmoid`` and ``scores_softmax``.

    Returns:
        ``exp_log_score``: the last mean of log q_y in nats, which is at most 0 for a
        probability; ``exp_gain``: its rise in the second half of training, both the smallest over
        the seeds; ``exp_overflows``: the share of the fast runs that ended in infinity or NaN;
        ``exp_accuracy``, ``sigmoid_accuracy``, ``softmax_accuracy``: on the test part, where the
        class of the largest score is the answer; ``division_gain``: that accuracy under softmax
        minus that under exp, at the rate of exp; ``sigmoid_total``: the mean of Σ_k q_k over the
        test part.
    """
    scores = [_log_score(point)[1] for point in runs["scores_exp"]]
    overflows = diverged(runs["scores_exp_fast"])
    quantities = {
        "exp_log_score": exact(
            min(values[-1] for values in scores),
            len(scores),
            "last mean of log q_y, q = exp(z), the smallest over the seeds, nats",
        ),
        "exp_gain": exact(
            min(values[-1] - values[len(values) // 2] for values in scores),
            len(scores),
            "rise of the mean of log q_y in the second half of training, q = exp(z), the "
            "smallest over the seeds, nats",
        ),
        "exp_overflows": exact(
            sum(overflows) / len(overflows),
            len(overflows),
            "share of runs that ended in infinity or NaN, q = exp(z), the others' rate",
        ),
        "division_gain": over_seeds(
            [
                number(softmax, "test/accuracy") - number(exp, "test/accuracy")
                for softmax, exp in pairs(runs["scores_softmax_slow"], runs["scores_exp"])
            ],
            "test accuracy with q = softmax(z) minus that with q = exp(z), both at the small rate, "
            "paired",
        ),
        "sigmoid_total": over_seeds(
            [predictions(p)[0].sigmoid().sum(1).mean().item() for p in runs["scores_sigmoid"]],
            f"mean of Σ q_k over the test images, {_LABELS['sigmoid']}",
        ),
    }
    for name in ("exp", "sigmoid", "softmax"):
        what = f"test accuracy, {_LABELS[name]}"
        quantities[f"{name}_accuracy"] = _accuracy(runs[f"scores_{name}"], what)
    return Measurement(quantities=quantities, drawings=_drawing(runs), tables=[_table(runs)])


def _accuracy(points: list[Run], what: str) -> Quantity:
    return over_seeds([number(point, "test/accuracy") for point in points], what)


def _log_score(point: Run) -> tuple[list[float], list[float]]:
    steps, values = record(point, "train/objective")
    return steps, [-value for value in values]


def _drawing(runs: Runs) -> list[Drawing]:
    scores = {name: [_log_score(p) for p in runs[f"scores_{name}"]] for name in _LABELS}
    # Growth differs so much from seed to seed that a mean would show the largest one only.
    slowest = min(range(len(scores["exp"])), key=lambda seed: scores["exp"][seed][1][-1])
    learned = {
        name: [record(p, "val/accuracy") for p in runs[f"scores_{name}"]] for name in _LABELS
    }
    return figure(
        "normalization",
        "Without normalisation nothing stops q from growing: −log q_y has no minimum for "
        "q = exp(z), and saying yes to every class is best for q = sigmoid(z). The learning rate "
        "of exp is small enough that its growth can be seen; softmax at that rate is drawn as "
        "well. Left: the seed in which exp grows least. Right: mean over seeds and its 95% "
        "interval.",
        Panel(
            title="The score of the true class",
            x_label="step",
            y_label="mean of log q_y, nats",
            curves=[
                Curve(label=label, x=scores[name][slowest][0], y=scores[name][slowest][1])
                for name, label in _LABELS.items()
            ],
        ),
        Panel(
            title="What is learned",
            x_label="step",
            y_label="validation accuracy, share correct",
            curves=[
                curve_over_seeds(
                    label,
                    learned[name][0][0],
                    np.array([values for _, values in learned[name]]),
                    bounds=(0.0, 1.0),
                )
                for name, label in _LABELS.items()
            ],
        ),
    )


def _table(runs: Runs) -> TableOfNumbers:
    rows = []
    for name in ("exp", "softmax_slow", "exp_fast", "sigmoid", "softmax"):
        points = runs[f"scores_{name}"]
        rows.append(
            [
                _LABELS[name.partition("_")[0]],
                f"{of_config(points, 'optimizer.lr'):g}",
                f"{sum(diverged(points))} of {len(points)}",
                measured(_accuracy(points, "")),
            ]
        )
    return TableOfNumbers(
        title="The same network with and without the division",
        columns=["q", "learning rate", "diverged", "test accuracy [95% interval]"],
        rows=rows,
    )
