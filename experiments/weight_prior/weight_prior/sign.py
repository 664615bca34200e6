"""The seed document's sign of the prior (S13 in science.md), as written and corrected."""

import numpy as np

from losslab.figures import Drawing, Panel
from losslab.recording import Run
from losslab.report.measurement import Measurement, Quantity, TableOfNumbers
from losslab.report.statistics import FloatArray
from losslab.study.measure import Runs, curve_over_seeds, diverged, number, over_seeds, record


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
        ended = diverged(points)
        quantities[f"{name}_diverged"] = Quantity(
            value=float(np.mean(ended)),
            n=len(points),
            what=f"share of runs whose objective stopped being a finite number; {label}",
        )
        steps, norms = _norms(points)
        quantities[f"{name}_growth"] = over_seeds(
            np.log10(norms[:, -1] / norms[:, 0]),
            f"decades by which ‖W‖ grew from step {steps[0]:g} to {steps[-1]:g}; {label}",
        )
        curves.append(curve_over_seeds(label, steps, norms, logarithmic=True))
        accuracy = np.mean([number(point, "test/accuracy") for point in points])
        runs_diverged = f"{sum(ended)} of {len(points)}"
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


def _norms(points: list[Run]) -> tuple[list[float], FloatArray]:
    """Return the steps that all runs have recorded, and ``(S, T)`` weight norms at them."""
    found = [dict(zip(*record(point, "optim/weight_norm"), strict=True)) for point in points]
    steps = sorted(set.intersection(*(set(one) for one in found)))
    if not steps:
        raise ValueError(
            "no step has a finite weight norm in all runs; record more often: "
            "give trainer.log_every=1"
        )
    return steps, np.array([[one[step] for step in steps] for one in found])
