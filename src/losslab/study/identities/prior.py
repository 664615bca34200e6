"""S11 and S13: a prior holds the weights back, unless its sign is the wrong way round."""

from losslab.figures import Curve, Drawing, Panel
from losslab.report.evidence import Measurement, Quantity
from losslab.study.measure import Runs
from losslab.study.over_seeds import over_seeds, pairs
from losslab.study.reading import diverged, final, record

_SIGNS = {
    "right_sign": "−log P − log g(W)",
    "sign_as_written": "−log P + log g(W), as written",
}


def shrinkage(runs: Runs) -> Measurement:
    """Compare the final weights under a narrow and a wide Gaussian prior, seed by seed.

    Needs the sets ``narrow_prior`` and ``wide_prior``.

    Returns:
        ``norm``: ‖W‖ under the narrow less ‖W‖ under the wide prior.
    """
    differences = [
        final(narrow, "optim/weight_norm") - final(wide, "optim/weight_norm")
        for narrow, wide in pairs(runs["narrow_prior"], runs["wide_prior"])
    ]
    what = "‖W‖ after training under the narrow prior less that under the wide one, paired"
    return Measurement(quantities={"norm": over_seeds(differences, what)})


def sign_while_training(runs: Runs) -> Measurement:
    """Compare runs with −log g(W) and with + log g(W), as the seed document has it.

    Needs the sets ``right_sign`` and ``sign_as_written``.

    Returns:
        ``right``: the largest ‖W‖ of the second half of training over that of the first half;
        ``as_written``: the factor from the first to the last ‖W‖ recorded; ``diverged``: the
        share of runs with the sign as written that ended because a number was no longer finite.
    """
    norms = {name: [record(p, "optim/weight_norm") for p in runs[name]] for name in _SIGNS}
    settled, grown = [], []
    for _, values in norms["right_sign"]:
        half = len(values) // 2
        settled.append(max(values[half:]) / max(values[:half]))
    for _, values in norms["sign_as_written"]:
        grown.append(values[-1] / values[0])
    ended = diverged(runs["sign_as_written"])
    return Measurement(
        quantities={
            "right": Quantity(
                value=max(settled),
                n=len(settled),
                what="largest ‖W‖ of the second half of training over that of the first, "
                "−log g(W), the largest over the seeds",
            ),
            "as_written": Quantity(
                value=min(grown),
                n=len(grown),
                what="‖W‖ at the last record over ‖W‖ at the first, + log g(W), the smallest "
                "over the seeds",
            ),
            "diverged": Quantity(
                value=sum(ended) / len(ended),
                n=len(ended),
                what="share of runs that ended in infinity or NaN, + log g(W)",
            ),
        },
        drawings=[
            Drawing(
                name="prior_sign",
                caption="The same Gaussian prior with either sign (one seed): subtracting its "
                "logarithm holds the weights; adding it, as written in the seed document, drives "
                "them up exponentially until the numbers overflow.",
                panels=[
                    Panel(
                        title="The sign of the prior",
                        x_label="step",
                        y_label="‖W‖",
                        y_log=True,
                        curves=[
                            Curve(label=label, x=norms[name][0][0], y=norms[name][0][1])
                            for name, label in _SIGNS.items()
                        ],
                    )
                ],
            )
        ],
    )
