"""S12: the smallest eigenvalue of a loss's Hessian in the logits of real pictures."""

from losslab.figures import Curve, Drawing, Panel
from losslab.report.evidence import Measurement, Quantity
from losslab.study.identities.curvature import LABELS, LOSSES, smallest_eigenvalues
from losslab.study.measure import Runs
from losslab.study.reading import predictions

_ROUNDING = -1e-9


def along_training(runs: Runs, *, examples: int) -> Measurement:
    """Look for a negative eigenvalue on the test logits of networks at several stages of training.

    Needs the sets ``stages_cross_entropy`` and ``stages_brier``, whose ``trainer.steps`` vary;
    each loss is looked at on the logits of the network that it trained.

    Args:
        runs: As above.
        examples: Test pictures to use.

    Returns:
        ``cross_entropy`` and ``brier``: the smallest eigenvalue of all stages.
    """
    lowest: dict[str, list[float]] = {}
    shares: dict[str, list[float]] = {}
    steps: dict[str, list[float]] = {}
    for name, loss in LOSSES.items():
        points = runs[f"stages_{name}"]
        found = [
            smallest_eigenvalues(loss, logits[:examples], labels[:examples])
            for logits, labels in map(predictions, points)
        ]
        lowest[name] = [values.min().item() for values in found]
        shares[name] = [(values < _ROUNDING).double().mean().item() for values in found]
        steps[name] = [float(point.values["trainer.steps"]) for point in points]
    quantities = {
        name: Quantity(
            value=min(lowest[name]),
            n=len(lowest[name]) * examples,
            what=f"smallest eigenvalue of the logit Hessian of {LABELS[name]}, test logits along "
            "training",
        )
        for name in LOSSES
    }

    def panel(title: str, y_label: str, values: dict[str, list[float]]) -> Panel:
        return Panel(
            title=title,
            x_label="steps of training",
            x_log=True,
            y_label=y_label,
            curves=[
                Curve(label=LABELS[name], x=steps[name], y=values[name], loss=name)
                for name in LOSSES
            ],
        )

    return Measurement(
        quantities=quantities,
        drawings=[
            Drawing(
                name="curvature_along_training",
                caption="The Hessian of the loss in the logits of test pictures, at several "
                "stages of training with that loss. Cross-entropy has no negative eigenvalue; "
                "squared error after softmax has, and on more of the pictures early in training.",
                panels=[
                    panel("Smallest eigenvalue", "smallest eigenvalue of the Hessian", lowest),
                    panel("Pictures with a negative one", "share of the pictures", shares),
                ],
            )
        ],
    )
