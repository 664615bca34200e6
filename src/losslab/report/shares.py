"""Shapley shares: how much of a gap each factor of a factorial explains."""

from collections.abc import Callable, Sequence
from math import factorial

from losslab.figures import Drawing, Panel
from losslab.report.estimates import Estimate, Sample, combine
from losslab.report.measurement import (
    Measurement,
    Quantity,
    TableOfNumbers,
    interval_bars,
    zero_line,
)
from losslab.report.plan import Factorial, Plan, Side
from losslab.report.statistics import Interval

SHARES = "shares"  # the measure's name


def shapley(factor: int, factors: int) -> list[float]:
    """Return the weight of each cell in a factor's Shapley value, cells in binary order.

    The value is the change from switching this factor, averaged over all orders in which the
    factors can be switched (Shapley 1953, *A value for n-person games*). The values of all factors
    add up to the gap between the last cell and the first.

    >>> shapley(0, 2)
    [-0.5, 0.5, -0.5, 0.5]
    """
    bit, weights = 1 << factor, []
    for cell in range(2**factors):
        others = (cell & ~bit).bit_count()
        orders = factorial(others) * factorial(factors - others - 1)
        weights.append((1 if cell & bit else -1) * orders / factorial(factors))
    return weights


def shapley_shares(plan: Plan, sample: Callable[[Side], Sample]) -> Measurement:
    """Measure the gap of each factorial and the part that each factor contributes.

    Quantities are ``<factorial>.gap`` and ``<factorial>.<factor>`` in percentage points of test
    accuracy and, if the interval of the gap excludes zero, ``<factorial>.<factor>_share`` of it.
    All are weighted sums of the cells' accuracies. Their intervals cover the noise of seeds, of
    test examples and of the choice of value; that of a share, a ratio, uses the delta method.
    """
    quantities: dict[str, Quantity] = {}
    panels, rows = [], []
    for name, design in plan.factorials.items():
        measured = _quantities(design, [sample(Side(arm, "own")) for arm in design.cells])
        if not measured:
            continue
        quantities |= {f"{name}.{key}": quantity for key, quantity in measured.items()}
        labels = {"gap": "whole gap", **design.factors}
        curves = [
            zero_line(len(labels)),
            interval_bars([measured[key] for key in labels], [*map(float, range(len(labels)))]),
        ]
        ticks = [(label, float(position)) for position, label in enumerate(labels.values())]
        panels.append(Panel(title=design.label, curves=curves, ticks=ticks))
        rows += [
            [design.label, label, _text(measured[key]), _text(measured.get(f"{key}_share"))]
            for key, label in labels.items()
        ]
    if not panels:
        return Measurement()
    drawing = Drawing(
        name=SHARES,
        caption="Shapley shares of the gap in test accuracy; bars: 95% interval",
        panels=panels,
        columns=2,
        share="y",
        y_label="percentage points of test accuracy",
    )
    columns = ["", "factor", "points of test accuracy", "share of the gap"]
    table = TableOfNumbers(title="Shapley shares of the gap", columns=columns, rows=rows)
    return Measurement(quantities=quantities, drawings=[drawing], tables=[table])


def _quantities(design: Factorial, cells: Sequence[Sample]) -> dict[str, Quantity]:
    whole = [-1.0, *[0.0] * (len(cells) - 2), 1.0]
    gap = combine(cells, whole)
    if gap is None or gap.interval is None:
        return {}
    quantities = {"gap": _points(gap, f"test accuracy, {design.label}: the whole gap")}
    clear = not gap.interval.low <= 0 <= gap.interval.high
    for index, (name, label) in enumerate(design.factors.items()):
        weights = shapley(index, len(design.factors))
        part = combine(cells, weights)
        assert part is not None  # it has the seeds of the gap
        what = f"test accuracy, {design.label}: Shapley value of the {label}"
        quantities[name] = _points(part, what)
        if clear:
            share = part.mean / gap.mean
            rest = [(w - share * g) / gap.mean for w, g in zip(weights, whole, strict=True)]
            noise = combine(cells, rest)  # zero, with the noise of the share
            low, high = (noise and noise.interval) or Interval(0.0, 0.0)
            quantities[f"{name}_share"] = Quantity(
                value=share,
                low=share + low,
                high=share + high,
                n=gap.n,
                what=f"share of the gap in test accuracy, {design.label}: of the {label}",
            )
    return quantities


def _points(estimate: Estimate, what: str) -> Quantity:
    low, high = (100 * end for end in estimate.interval or (estimate.mean, estimate.mean))
    what = f"percentage points of {what}"
    return Quantity(value=100 * estimate.mean, low=low, high=high, n=estimate.n, what=what)


def _text(quantity: Quantity | None) -> str:
    if quantity is None:
        return "–"
    low, high = quantity.interval
    return f"{quantity.value:.2f} [{low:.2f}, {high:.2f}]".replace("-", "−")
