"""S13: the seed document's sign of the prior, as written and as it should be."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from losslab.losses import GaussianPrior
from losslab.report.evidence import Drawing, Measurement, Panel, Quantity, TableOfNumbers
from losslab.report.metrics import FloatArray
from losslab.study.measure import Runs
from losslab.study.points import Point
from losslab.study.weight_prior.reading import curve_over_seeds, final, over_seeds, recorded


@dataclass(frozen=True)
class PriorAsWritten:
    """The prior with the seed document's sign: +log g(W) = −‖W‖²/(2σ²). Not for training.

    From −log(P g) the document gets −log P + log g. Right is −log P − log g, which is
    :class:`~losslab.losses.GaussianPrior`. The gradient of this one, −W/σ², pushes every weight
    away from 0, the harder the larger it is: the objective has no minimum.

    Args:
        std: σ > 0, finite.

    Raises:
        ValueError: If ``std`` is not above 0 and finite, or no parameters are given.

    Source: A. Garg 2020, *Cross entropy*, on maximum a posteriori.

    >>> import torch
    >>> PriorAsWritten(std=0.5)([torch.tensor([1.0, 2.0]), torch.tensor(1.0)])
    tensor(-12.)
    """

    std: float

    def __post_init__(self) -> None:
        GaussianPrior(self.std)

    def __call__(self, parameters: Iterable[Tensor]) -> Tensor:
        """Return −‖W‖²/(2σ²), ``()``."""
        return -GaussianPrior(self.std)(parameters)


def sign(runs: Runs) -> Measurement:
    """Measure how the weights grow under either sign, from the same seeds."""
    labels = {
        "as_written": "−log P + log g(W), as written",
        "corrected": "−log P − log g(W), Bayes' rule",
    }
    quantities: dict[str, Quantity] = {}
    curves, rows = [], []
    for name, label in labels.items():
        points = runs[name]
        diverged = [point.identity.directory.status == "diverged" for point in points]
        quantities[f"{name}_diverged"] = Quantity(
            value=float(np.mean(diverged)),
            n=len(points),
            what=f"share of runs whose objective stopped being a finite number; {label}",
        )
        steps, norms = _norms(points)
        quantities[f"{name}_growth"] = over_seeds(
            np.log10(norms[:, -1] / norms[:, 0]),
            f"decades by which ‖W‖ grew from step {steps[0]} to {steps[-1]}; {label}",
        )
        curves.append(curve_over_seeds(label, steps, norms, logarithmic=True))
        accuracy = np.mean([final(point, "test/accuracy") for point in points])
        runs_diverged = f"{sum(diverged)} of {len(points)}"
        rows.append(
            [label, runs_diverged, f"{steps[-1]:g}", f"{norms[:, -1].max():.3g}", f"{accuracy:.3g}"]
        )
    panel = Panel(
        title="The sign of log g(W)", x_label="step", y_label="‖W‖", curves=curves, y_log=True
    )
    caption = (
        "Weight norm while training under either sign of the prior: geometric mean over seeds and "
        "its 95% interval, up to the last step at which every seed's is a finite number."
    )
    columns = [
        "objective",
        "diverged",
        "last step finite in all",
        "largest ‖W‖ then",
        "test accuracy",
    ]
    return Measurement(
        quantities=quantities,
        drawings=[Drawing(name="sign", caption=caption, panels=[panel])],
        tables=[TableOfNumbers(title="Both signs of the prior", columns=columns, rows=rows)],
    )


def _norms(points: list[Point]) -> tuple[list[float], FloatArray]:
    """Return the steps that all runs have recorded, and ``(S, T)`` weight norms at them."""
    found = [recorded(point, "optim/weight_norm") for point in points]
    steps = sorted(set.intersection(*(set(one) for one in found)))
    if not steps:
        raise ValueError(
            "no step has a finite weight norm in all runs; record more often: "
            "give trainer.log_every=1"
        )
    return [float(step) for step in steps], np.array(
        [[one[step] for step in steps] for one in found]
    )
