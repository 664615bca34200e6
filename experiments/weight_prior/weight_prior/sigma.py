"""The prior's width (S11 in science.md) against the size of the training part."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from losslab.figures import Drawing, Panel
from losslab.recording import Run
from losslab.report.measurement import Measurement, Quantity, TableOfNumbers
from losslab.report.statistics import FloatArray
from losslab.study.measure import Runs, curve_over_seeds, number, over_seeds, value_of

STD, SIZE = "loss.prior.std", "data.train_size"


@dataclass(frozen=True)
class Sweep:
    """Runs over prior widths, training sizes and seeds, all combinations.

    Attributes:
        points: With the values :data:`STD` and :data:`SIZE`.
    """

    points: list[Run]

    @cached_property
    def stds(self) -> list[float]:
        """Widths σ, ascending."""
        return sorted({value_of(point, STD) for point in self.points})

    @cached_property
    def sizes(self) -> list[int]:
        """Training sizes N, ascending."""
        return sorted({value_of(point, SIZE) for point in self.points})

    @cached_property
    def seeds(self) -> list[int]:
        """Seeds, ascending."""
        return sorted({point.seed for point in self.points})

    def of(self, size: int, number: Callable[[Run], float]) -> FloatArray:
        """Return ``(S, V)``: a number of every run of a size, by seed and width."""
        of_size = [run for run in self.points if value_of(run, SIZE) == size]
        found = {(run.seed, value_of(run, STD)): number(run) for run in of_size}
        return np.array([[found[seed, std] for std in self.stds] for seed in self.seeds])

    def tag(self, size: int, tag: str) -> FloatArray:
        """Return ``(S, V)`` final numbers of a tag."""
        return self.of(size, lambda point: number(point, tag))


def sigma_sweep(runs: Runs) -> Measurement:
    """Measure how norm, gap, accuracy, NLL and calibration depend on σ and N.

    A width is chosen on validation, by the mean over seeds, among those with a neighbour on either
    side; what it gains is measured on test.
    """
    sweep = Sweep(runs["sigma"])
    if len(sweep.stds) < 3:
        raise ValueError(
            f"the set sigma has {len(sweep.stds)} values of {STD}; an interior one needs 3 or more"
        )
    return Measurement(
        quantities=_quantities(sweep), drawings=_drawings(sweep), tables=[_table(sweep)]
    )


def gap(point: Run, metric: str) -> float:
    """Return the final test minus training number, the latter over the last epoch's batches."""
    return number(point, f"test/{metric}") - number(point, f"train/{metric}")


def _quantities(sweep: Sweep) -> dict[str, Quantity]:
    small, large = sweep.sizes[0], sweep.sizes[-1]
    accuracy, nll = sweep.tag(small, "test/accuracy"), sweep.tag(small, "test/nll")
    ece = sweep.tag(small, "test/ece")
    by_accuracy = inner_best(sweep.tag(small, "val/accuracy"))
    by_nll = inner_best(-sweep.tag(small, "val/nll"))
    norms = [rank_correlation(sweep.tag(size, "optim/weight_norm")) for size in sweep.sizes]
    gain_small, gain_large = (_gain_over_widest(sweep, size) for size in (small, large))
    chosen = f"σ = {sweep.stds[by_accuracy]:g}, chosen on validation accuracy, N = {small}"
    chosen_nll = f"σ = {sweep.stds[by_nll]:g}, chosen on validation NLL, N = {small}"
    widest, narrowest = f"σ = {sweep.stds[-1]:g}", f"σ = {sweep.stds[0]:g}, N = {small}"
    what = {
        "weight_norm_rank": (
            np.min(norms, axis=0),
            "Spearman's correlation of ‖W‖ with σ, the smallest of the training sizes",
        ),
        "gap_rank": (
            rank_correlation(sweep.of(small, lambda point: gap(point, "nll"))),
            f"Spearman's correlation of test NLL − training NLL with σ, N = {small}",
        ),
        "accuracy_gain": (
            gain_over_ends(accuracy, by_accuracy),
            f"test accuracy at {chosen}, minus that at the better end of the range",
        ),
        "nll_gain": (
            gain_over_ends(-nll, by_nll),
            f"test NLL in nats at the better end of the range minus that at {chosen_nll}",
        ),
        "accuracy_gain_shrinks": (
            gain_small - gain_large,
            f"gain in test accuracy over {widest} by the σ chosen on validation accuracy, at "
            f"N = {small} minus at N = {large}",
        ),
        "ece_change": (
            ece[:, by_nll] - ece[:, -1],
            f"test ECE at {chosen_nll}, minus that at {widest}",
        ),
        "collapsed_accuracy": (accuracy[:, 0], f"test accuracy at {narrowest}"),
        "collapsed_ece": (ece[:, 0], f"test ECE at {narrowest}"),
    }
    return {name: over_seeds(values, text) for name, (values, text) in what.items()}


def _gain_over_widest(sweep: Sweep, size: int) -> FloatArray:
    accuracy = sweep.tag(size, "test/accuracy")
    return np.asarray(accuracy[:, inner_best(sweep.tag(size, "val/accuracy"))] - accuracy[:, -1])


def _drawings(sweep: Sweep) -> list[Drawing]:
    def panel(
        title: str,
        label: str,
        number: Callable[[Run], float],
        *,
        log: bool = False,
        bounds: tuple[float, float] = (-np.inf, np.inf),
    ) -> Panel:
        curves = [
            curve_over_seeds(
                f"N = {size}",
                sweep.stds,
                sweep.of(size, number),
                logarithmic=log,
                bounds=bounds,
            )
            for size in sweep.sizes
        ]
        return Panel(
            title=title,
            x_label="standard deviation σ of the prior",
            y_label=label,
            curves=curves,
            x_log=True,
            y_log=log,
        )

    def tag(name: str) -> Callable[[Run], float]:
        return partial(number, metric=name)

    band = (
        "Mean over seeds and its 95% interval, wide where some seeds learn and others do not; N is "
        "the number of training examples."
    )
    return [
        Drawing(
            name="sigma_fit",
            caption=f"The prior's grip on the weights (geometric mean) and on overfitting. {band}",
            panels=[
                panel("Weight norm", "‖W‖", tag("optim/weight_norm"), log=True),
                panel("Gap in NLL", "test − training, nats", lambda p: gap(p, "nll")),
                panel(
                    "Gap in accuracy",
                    "training − test, share correct",
                    lambda p: -gap(p, "accuracy"),
                ),
            ],
        ),
        Drawing(
            name="sigma_test",
            caption=f"What it does to unseen digits. {band}",
            panels=[
                panel("Test accuracy", "share correct", tag("test/accuracy"), bounds=(0, 1)),
                panel("Test NLL", "nats an example", tag("test/nll"), bounds=(0, np.inf)),
                panel("Calibration error", "test ECE, 15 bins", tag("test/ece"), bounds=(0, 1)),
            ],
        ),
    ]


def _table(sweep: Sweep) -> TableOfNumbers:
    tags = (
        "optim/weight_norm",
        "train/accuracy",
        "test/accuracy",
        "train/nll",
        "test/nll",
        "test/ece",
    )
    rows = []
    for size in sweep.sizes:
        means = [sweep.tag(size, tag).mean(axis=0) for tag in tags]
        for column, std in enumerate(sweep.stds):
            decay = f"{1 / (std**2 * size):.3g}"
            numbers = [f"{mean[column]:.4g}" for mean in means]
            rows.append([f"{size}", f"{std:g}", decay, *numbers])
    return TableOfNumbers(
        title=f"The prior's width, means over {len(sweep.seeds)} seeds",
        columns=["N", "σ", "weight decay 1/(σ²N)", "‖W‖", *tags[1:]],
        rows=rows,
    )


def inner_best(score: FloatArray) -> int:
    """Return the column, neither first nor last, whose mean over seeds is highest.

    Args:
        score: ``(S, V)``, higher is better.

    >>> inner_best(np.array([[9.0, 1.0, 2.0, 9.0]]))
    2
    """
    return 1 + int(score.mean(axis=0)[1:-1].argmax())


def gain_over_ends(score: FloatArray, column: int) -> FloatArray:
    """Return ``(S,)`` how far a column is above the better one of the two ends.

    The better end is found by its mean over seeds, so that one side is one configuration.

    >>> gain_over_ends(np.array([[1.0, 5.0, 3.0], [1.0, 4.0, 3.0]]), 1).tolist()
    [2.0, 1.0]
    """
    means = score.mean(axis=0)
    end = 0 if means[0] > means[-1] else -1
    return np.asarray(score[:, column] - score[:, end])


def rank_correlation(values: FloatArray) -> FloatArray:
    """Return ``(S,)`` Spearman's correlation of each row of ``(S, V)`` with its column's number.

    NaN for a row that holds one. Equal values share the mean of their ranks.

    >>> rank_correlation(np.array([[0.1, 0.5, 0.7], [3.0, 2.0, 1.0]])).tolist()
    [1.0, -1.0]
    """
    return np.array([_spearman(row) for row in values])


def _spearman(row: FloatArray) -> float:
    if np.isnan(row).any() or len(np.unique(row)) < 2:
        return np.nan
    _, inverse, counts = np.unique(row, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float(np.round(np.corrcoef(ranks, np.arange(len(row)))[0, 1], 12))
