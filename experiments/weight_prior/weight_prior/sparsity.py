"""A Laplace prior's sparsity beside a Gaussian prior's shrinkage."""

import math
from collections.abc import Callable

import numpy as np

from losslab.figures import Curve, Drawing, Panel
from losslab.recording import Run
from losslab.report.measurement import Measurement, TableOfNumbers
from losslab.report.statistics import FloatArray
from losslab.study.measure import (
    Runs,
    curve_over_seeds,
    final_weights,
    number,
    of_config,
    over_seeds,
    value_of,
)
from weight_prior.sigma import SIZE, STD

SCALE = "loss.prior.scale"
_EDGES = np.linspace(-8.0, 0.0, 33)
SMALL = 1e-3
LABELS = {"map_gaussian": "Gaussian", "map_laplace": "Laplace"}

Family = dict[float, list[Run]]
"""Standard deviation of the prior to its runs, by seed, both ascending."""


def sparsity(runs: Runs, *, tolerance: float) -> Measurement:
    """Measure how many weights each prior makes negligible, below 1e-3 of the largest.

    The two are compared where they cost the same: each at the narrowest width that keeps its mean
    validation accuracy within ``tolerance`` of its best. A Laplace prior of scale b has the
    standard deviation √2 b.

    Args:
        runs: ``laplace`` of one training size; ``sigma`` with that size among its own.
        tolerance: Share of validation accuracy.
    """
    size = of_config(runs["laplace"], SIZE)
    families: dict[str, Family] = {
        "map_gaussian": family_of(
            [run for run in runs["sigma"] if value_of(run, SIZE) == size],
            lambda run: float(value_of(run, STD)),
        ),
        "map_laplace": family_of(runs["laplace"], lambda p: math.sqrt(2) * value_of(p, SCALE)),
    }
    chosen = {name: narrowest(family, tolerance) for name, family in families.items()}
    shares = {
        name: np.array([small_share(final_weights(p)) for p in family[chosen[name]]])
        for name, family in families.items()
    }
    accuracy = {
        name: np.array([number(p, "test/accuracy") for p in family[chosen[name]]])
        for name, family in families.items()
    }
    at = (
        " and ".join(f"{LABELS[name]} {parameter(name, std)}" for name, std in chosen.items())
        + f", N = {size:g}"
    )
    quantities = {
        "share_difference": over_seeds(
            shares["map_laplace"] - shares["map_gaussian"],
            f"share of weights below {SMALL:g} of the largest, Laplace minus Gaussian; {at}",
        ),
        "accuracy_difference": over_seeds(
            accuracy["map_laplace"] - accuracy["map_gaussian"],
            f"test accuracy, Laplace minus Gaussian; {at}",
        ),
        "gaussian_share": over_seeds(
            shares["map_gaussian"], f"share of weights below {SMALL:g} of the largest, Gaussian"
        ),
    }
    return Measurement(
        quantities=quantities,
        drawings=[_drawing(families, chosen)],
        tables=[_table(families)],
    )


def _drawing(families: dict[str, Family], chosen: dict[str, float]) -> Drawing:
    def against_std(title: str, label: str, number: Callable[[Run], float]) -> Panel:
        curves = [
            curve_over_seeds(
                LABELS[name],
                list(family),
                np.array([[number(p) for p in points] for points in family.values()]).T,
                bounds=(0.0, 1.0),
                loss=name,
            )
            for name, family in families.items()
        ]
        return Panel(
            title=title,
            x_label="standard deviation of the prior",
            y_label=label,
            curves=curves,
            x_log=True,
        )

    histograms = [
        _histogram(f"{LABELS[name]}, {parameter(name, chosen[name])}", family[chosen[name]], name)
        for name, family in families.items()
    ]
    return Drawing(
        name="sparsity",
        caption=(
            "Negligible weights and accuracy at equal variance of the prior (Laplace 2b²), mean "
            "over seeds and its 95% interval; where the network guesses all weights are gone and "
            "a share of the largest means nothing. Right: mean distribution of sizes at the two "
            "widths that the claim compares; smaller than 1e-8 counts in the leftmost bin."
        ),
        panels=[
            against_std(
                "Negligible weights",
                f"share below {SMALL:g} of the largest",
                lambda p: small_share(final_weights(p)),
            ),
            against_std("Test accuracy", "share correct", lambda p: number(p, "test/accuracy")),
            Panel(
                title="Sizes of the weights",
                x_label="log10 of |w| / largest |w|",
                y_label="share of the weights in a quarter decade",
                curves=histograms,
            ),
        ],
    )


def _histogram(label: str, points: list[Run], loss: str) -> Curve:
    shares = []
    for point in points:
        sizes = np.abs(final_weights(point))
        with np.errstate(divide="ignore"):  # an exact zero is −∞ and then in the leftmost bin
            decades = np.clip(np.log10(sizes / sizes.max()), _EDGES[0], _EDGES[-1])
        shares.append(np.histogram(decades, _EDGES)[0] / len(sizes))
    middles = ((_EDGES[1:] + _EDGES[:-1]) / 2).tolist()
    return Curve(label=label, x=middles, y=np.mean(shares, axis=0).tolist(), loss=loss)


def _table(families: dict[str, Family]) -> TableOfNumbers:
    rows = []
    for name, family in families.items():
        for std, points in family.items():
            weights = [final_weights(point) for point in points]
            numbers = (
                np.mean([small_share(w) for w in weights]),
                np.mean([np.linalg.norm(w) for w in weights]),
                np.mean([number(p, "test/accuracy") for p in points]),
            )
            rows.append(
                [LABELS[name], parameter(name, std), f"{std:.3g}", *(f"{n:.4g}" for n in numbers)]
            )
    return TableOfNumbers(
        title="Laplace and Gaussian priors, means over seeds",
        columns=[
            "prior",
            "parameter",
            "standard deviation",
            f"share below {SMALL:g} of the largest",
            "‖W‖",
            "test accuracy",
        ],
        rows=rows,
    )


def small_share(weights: FloatArray) -> float:
    """Return the share of weights ``(P,)`` whose size is below 1e-3 of the largest one's.

    >>> small_share(np.array([1.0, -0.5, 1e-4, 0.0]))
    0.5
    """
    sizes = np.abs(weights)
    return float(np.mean(sizes < SMALL * sizes.max()))


def parameter(name: str, std: float) -> str:
    """Return a prior's own parameter, σ or b, for its standard deviation."""
    return f"σ = {std:.3g}" if name == "map_gaussian" else f"b = {std / math.sqrt(2):.3g}"


def family_of(points: list[Run], std: Callable[[Run], float]) -> Family:
    """Group runs by the standard deviation that ``std`` reads off them."""
    family: Family = {}
    for point in sorted(points, key=lambda p: (std(p), p.seed)):
        family.setdefault(std(point), []).append(point)
    return family


def narrowest(family: Family, tolerance: float) -> float:
    """Return the least width whose mean validation accuracy is within ``tolerance`` of the best."""
    means = {
        std: float(np.mean([number(p, "val/accuracy") for p in points]))
        for std, points in family.items()
    }
    return min(std for std, mean in means.items() if mean >= max(means.values()) - tolerance)
