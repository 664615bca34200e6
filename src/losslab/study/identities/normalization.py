"""S8: what becomes of −log q_y when nothing makes q a distribution."""

from losslab.report.evidence import Curve, Drawing, Measurement, Panel, Quantity
from losslab.study.measure import Runs
from losslab.study.over_seeds import over_seeds
from losslab.study.points import Point
from losslab.study.reading import diverged, final, predictions, record

_LABELS = {"exp": "q = exp(z)", "sigmoid": "q = sigmoid(z)", "softmax": "q = softmax(z)"}


def growth(runs: Runs) -> Measurement:
    """Compare runs of −log q_y with q = exp(z), sigmoid(z) and softmax(z).

    Needs the sets ``scores_exp``, ``scores_sigmoid`` and ``scores_softmax``; the objective that
    they logged is the mean of −log q_y over a batch. ``scores_exp_fast`` has q = exp(z) at the
    learning rate of the other two.

    Returns:
        ``exp_log_score``: the last mean of log q_y in nats, which is at most 0 for a
        probability; ``exp_gain``: its rise in the second half of training, both the smallest over
        the seeds; ``exp_overflows``: the share of the fast runs that ended in infinity or NaN;
        ``exp_accuracy``, ``sigmoid_accuracy``, ``softmax_accuracy``: on the test part, where the
        class of the largest score is the answer; ``sigmoid_total``: the mean of Σ_k q_k over the
        test part.
    """
    paths = {name: [_log_score(point) for point in runs[f"scores_{name}"]] for name in _LABELS}
    overflows = diverged(runs["scores_exp_fast"])
    quantities: dict[str, Quantity] = {
        "exp_log_score": Quantity(
            value=min(values[-1] for _, values in paths["exp"]),
            n=len(paths["exp"]),
            what="last mean of log q_y, q = exp(z), the smallest over the seeds, nats",
        ),
        "exp_gain": Quantity(
            value=min(values[-1] - values[len(values) // 2] for _, values in paths["exp"]),
            n=len(paths["exp"]),
            what="rise of the mean of log q_y in the second half of training, q = exp(z), the "
            "smallest over the seeds, nats",
        ),
        "exp_overflows": Quantity(
            value=sum(overflows) / len(overflows),
            n=len(overflows),
            what="share of runs that ended in infinity or NaN, q = exp(z), the others' rate",
        ),
    }
    for name, label in _LABELS.items():
        quantities[f"{name}_accuracy"] = over_seeds(
            [final(point, "test/accuracy") for point in runs[f"scores_{name}"]],
            f"test accuracy, {label}",
        )
    quantities["sigmoid_total"] = over_seeds(
        [predictions(p)[0].sigmoid().sum(1).mean().item() for p in runs["scores_sigmoid"]],
        f"mean of Σ q_k over the test pictures, {_LABELS['sigmoid']}",
    )
    return Measurement(
        quantities=quantities,
        drawings=[
            Drawing(
                name="normalization",
                caption="Without normalisation nothing stops q from growing: −log q_y has no "
                "minimum for q = exp(z), and saying yes to every class is best for q = sigmoid(z) "
                "(one seed each).",
                panels=[
                    Panel(
                        title="The score of the true class",
                        x_label="step",
                        y_label="mean of log q_y, nats",
                        curves=[
                            Curve(label=label, x=paths[name][0][0], y=paths[name][0][1])
                            for name, label in _LABELS.items()
                        ],
                    ),
                    Panel(
                        title="What is learned",
                        x_label="step",
                        y_label="validation accuracy",
                        curves=[
                            Curve(label=label, x=steps, y=values)
                            for name, label in _LABELS.items()
                            for steps, values in [record(runs[f"scores_{name}"][0], "val/accuracy")]
                        ],
                    ),
                ],
            )
        ],
    )


def _log_score(point: Point) -> tuple[list[float], list[float]]:
    steps, values = record(point, "train/objective")
    return steps, [-value for value in values]
