"""Losses after equal numbers of trials, their ranks, and each at the rates of the others."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from scipy.special import gammaln
from scipy.stats import rankdata

from losslab.figures import Cells, Curve, Drawing, Panel
from losslab.recording import Run
from losslab.report.measurement import Measurement, Quantity, TableOfNumbers
from losslab.report.statistics import FloatArray, IntArray
from losslab.study.measure import Runs, number, predictions, value_of

RATE = "optimizer.lr"
RESAMPLES = 1000
_GRID = ":grid"
_SHOWN = (1, 2, 4, 8, 16)


class Grid:
    """What the runs of all losses at V rates and S seeds got right.

    Attributes:
        losses: L names.
        val: ``(L, V, S)`` validation accuracies.
        test: ``(L, V, S)`` test accuracies.
        draws: Of each resampling, the seeds ``(S,)`` that are drawn, the same for every loss, and
            the test accuracies ``(L, V, S)`` on test examples drawn, too.
    """

    def __init__(self, runs: Runs) -> None:
        self.losses = [name.removesuffix(_GRID) for name in runs]
        table = [_by_rate(members) for members in runs.values()]
        self.val = np.array([[[_number(r, "val/accuracy") for r in v] for v in t] for t in table])
        right = np.array([[[_right(run) for run in v] for v in t] for t in table], dtype=np.float32)
        self.test = right.mean(axis=-1, dtype=np.float64)
        random, seeds, examples = np.random.default_rng(0), right.shape[2], right.shape[3]
        drawn = random.integers(seeds, size=(RESAMPLES, seeds))
        # A choice on other seeds needs two.
        drawn = drawn[[len({*row}) > 1 for row in drawn.tolist()]]
        weights = random.multinomial(examples, np.full(examples, 1 / examples), size=len(drawn))
        tests = right @ (weights.T / examples).astype(np.float32)
        self.draws: list[tuple[IntArray, FloatArray]] = [
            (row, tests[..., place].astype(np.float64)) for place, row in enumerate(drawn)
        ]

    def quantity(self, value: float, drawn: Sequence[float] | FloatArray, what: str) -> Quantity:
        """Return a number with its percentile interval over the draws."""
        low, high = np.quantile(drawn, (0.025, 0.975))
        n = self.val.shape[2]
        return Quantity(value=float(value), low=float(low), high=float(high), n=n, what=what)


def after(val: FloatArray, test: FloatArray, trials: int) -> float:
    """Return the test accuracy to expect of the best of some trials by validation accuracy.

    The mean over all ways to draw that many of the runs, without replacement; of runs that tie each
    is as likely.

    >>> after(np.array([0.1, 0.3, 0.2]), np.array([1.0, 3.0, 2.0]), 2)  # (3 + 3 + 2)/3
    2.66...
    """
    _, place, count = np.unique(val.ravel(), return_inverse=True, return_counts=True)
    below, every = np.cumsum(count), val.size
    # The chance that all trials are among the lowest runs.
    chance = np.diff(_choose(below, trials) / _choose(np.array([every]), trials), prepend=0.0)
    return float((chance / count)[place.ravel()] @ test.ravel())


def trials(
    runs: Runs,
    *,
    labels: Mapping[str, str],
    budgets: Sequence[int] = (1, 4, 16),
    against: str = "cross_entropy",
    near: float = 0.01,
) -> Measurement:
    """Measure each loss after equal numbers of trials of the learning rate, and its rank.

    A trial is a run at a rate of the grid, the same for all losses, with one of the seeds; of n
    trials that of the highest validation accuracy counts, by its test accuracy, averaged over all
    draws of n trials (:func:`after`). Intervals come from drawing seeds, together for all losses,
    and test examples. Budgets of more trials than a loss has runs are left out.

    Quantities: ``<loss>_<n>``; ``<loss>_<n>_less``, the same minus that of ``against``;
    ``<loss>_rank`` after the last budget; ``behind_<n>``, the median over losses of how far they
    are behind the best, and ``shrinks``, the first of these over the last; ``level``, how many
    other losses are within ``near`` of ``against`` after the last budget, and ``first``, how many
    may be the best: those whose interval of the rank starts at 1.
    """
    grid = _grid(runs)
    budgets = [n for n in budgets if n <= grid.val[0].size]
    last = max(budgets)
    counts = sorted({*budgets, *(n for n in _SHOWN if n <= last)})
    value = _afters(grid.val, grid.test, counts)  # (C, L)
    drawn = np.array([_afters(grid.val[..., s], t[..., s], counts) for s, t in grid.draws])
    at = {n: counts.index(n) for n in budgets}
    reference, end = grid.losses.index(against), at[last]
    ranks = rankdata(-value[end])
    ranks_drawn = rankdata(-drawn[:, end], axis=1)
    quantities: dict[str, Quantity] = {}
    for place, loss in enumerate(grid.losses):
        for n, row in at.items():
            what = f"expected test accuracy of {labels[loss]}, trials: {n}"
            quantities[f"{loss}_{n}"] = grid.quantity(value[row, place], drawn[:, row, place], what)
            less = drawn[:, row, place] - drawn[:, row, reference]
            quantities[f"{loss}_{n}_less"] = grid.quantity(
                value[row, place] - value[row, reference], less, f"{what}, minus {labels[against]}"
            )
        what = f"rank of {labels[loss]} of {len(grid.losses)}, trials: {last}"
        quantities[f"{loss}_rank"] = grid.quantity(ranks[place], ranks_drawn[:, place], what)
    for n, row in at.items():
        quantities[f"behind_{n}"] = grid.quantity(
            _behind(value[row]), [_behind(each[row]) for each in drawn],
            f"median over losses of the test accuracy missing to the best, trials: {n}",
        )  # fmt: skip
    shrinks = [_behind(e[at[min(budgets)]]) / _behind(e[end]) for e in drawn]
    quantities["shrinks"] = grid.quantity(
        _behind(value[at[min(budgets)]]) / _behind(value[end]), shrinks,
        f"that after {min(budgets)} trial(s) over that after {last}",
    )  # fmt: skip
    quantities["level"] = grid.quantity(
        _level(value[end], reference, near), [_level(e[end], reference, near) for e in drawn],
        f"losses within {near:.0%} of {labels[against]}, trials: {last}",
    )  # fmt: skip
    lowest = [quantities[f"{loss}_rank"].low or 1.0 for loss in grid.losses]
    first = sum(low < 1.5 for low in lowest)
    quantities["first"] = Quantity(
        value=first, n=len(lowest), what="losses whose interval of the rank starts at 1"
    )
    order = np.argsort(ranks, kind="stable")
    names = [labels[grid.losses[place]] for place in order]
    rounded = np.rint(ranks_drawn[:, order])
    chances = [[float(100 * np.mean(column == r + 1)) for r in range(len(names))]
               for column in rounded.T]  # fmt: skip
    rows = [
        [labels[loss], *(_percent(quantities[f"{loss}_{n}"]) for n in budgets), _rank(rank)]
        for loss in (grid.losses[place] for place in order)
        for rank in [quantities[f"{loss}_rank"]]
    ]
    return Measurement(
        quantities=quantities,
        tables=[
            TableOfNumbers(
                title="Test accuracy (%) to expect after equal numbers of trials, and the rank",
                columns=["", *(f"{n} trial{'s' * (n > 1)}" for n in budgets), "rank"],
                rows=rows,
            )
        ],
        drawings=[
            _curves(grid, counts, value, drawn, order, labels),
            Drawing(
                name="ranks",
                caption=f"Share of draws of seeds and test examples in which each loss has each "
                f"rank by its test accuracy, trials: {last}",
                panels=[_cells(names, [f"{r + 1}" for r in range(len(names))], chances,
                               title="Which loss is the best?", x_label=f"rank, trials: {last}",
                               label="share of draws (%)", darkest=60)],
                size=(11, 7.5),
            ),
        ],
    )  # fmt: skip


def borrowed(runs: Runs, *, labels: Mapping[str, str]) -> Measurement:
    """Measure what each loss loses at the best rate of every other.

    A rate is chosen by the mean validation accuracy on all seeds but one, and what it costs, the
    test accuracy at a loss's own choice minus that at the lender's, is measured on that seed; the
    mean is over seeds. Intervals come from drawing seeds, together for all losses, and test
    examples; the choice is made anew in each draw.

    Quantities: ``<loss>``, the mean over the lenders of what it loses; ``from_<loss>``, the mean
    over the borrowers of what they lose at its rate; ``pair``, the median over all pairs;
    ``choice``, the median difference in test accuracy between two losses, each at its own rate;
    ``ratio``, the former over the latter.
    """
    grid = _grid(runs)
    everything = np.arange(grid.val.shape[2])
    value = _summary(grid.val, grid.test, everything)
    drawn = [_summary(grid.val, tests, seeds) for seeds, tests in grid.draws]
    said = {
        "pair": "test accuracy lost at another loss's rate, median over pairs",
        "choice": "difference in test accuracy between two losses at their own rates, median",
        "ratio": "what another loss's rate costs over what another loss does, medians",
    }
    quantities = {
        name: grid.quantity(value[name], [each[name] for each in drawn], what)
        for name, what in said.items()
    }
    for place, loss in enumerate(grid.losses):
        for name, key, what in (
            (
                loss,
                "loses",
                f"test accuracy that {labels[loss]} loses at another loss's rate, mean",
            ),
            (f"from_{loss}", "costs", f"test accuracy lost at the rate of {labels[loss]}, mean"),
        ):
            quantities[name] = grid.quantity(
                value[key][place], [each[key][place] for each in drawn], what
            )
    # Lenders of small rates first, and so their borrowers.
    best = [_best(grid.val[place].mean(axis=1)) for place in range(len(grid.losses))]
    order = sorted(range(len(best)), key=lambda place: best[place])
    rates = sorted({float(value_of(run, RATE)) for run in next(iter(runs.values()))})
    names = [labels[grid.losses[place]] for place in order]
    cells = (100 * value["cost"])[np.ix_(order, order)].tolist()
    drawing = Drawing(
        name="borrowed",
        caption="Test accuracy that a loss (row) loses at the best learning rate of another "
        "(column), chosen on all tuning seeds but one; percentage points, blank below a half",
        panels=[
            _cells(names, names, cells, title="At the rate of another loss",
                   x_label="rate of", y_label="loss that borrows it",
                   label="points of test accuracy lost (20 or more: darkest)", darkest=20)
        ],
        size=(12.5, 10),
    )  # fmt: skip
    rows = [
        [labels[grid.losses[place]], f"{rates[best[place]]:g}",
         *(_points(quantities[key + grid.losses[place]]) for key in ("", "from_"))]
        for place in order
    ]  # fmt: skip
    table = TableOfNumbers(
        title="Test accuracy lost at borrowed rates (percentage points), means over the others",
        columns=["", "best rate", "lost at the others' rates", "lost by the others at its rate"],
        rows=rows,
    )
    return Measurement(quantities=quantities, tables=[table], drawings=[drawing])


_GRIDS: dict[tuple[str, ...], Grid] = {}


def _grid(runs: Runs) -> Grid:
    """Return what the runs got right, read once for both measures."""
    key = tuple(str(run.path) for members in runs.values() for run in members)
    if key not in _GRIDS:
        _GRIDS.clear()
        _GRIDS[key] = Grid(runs)
    return _GRIDS[key]


def _by_rate(members: Sequence[Run]) -> list[list[Run]]:
    """Return the runs of each rate, ascending, by seed."""
    rates: dict[float, list[Run]] = {}
    for run in sorted(members, key=lambda run: (float(value_of(run, RATE)), run.seed)):
        rates.setdefault(float(value_of(run, RATE)), []).append(run)
    return list(rates.values())


def _number(run: Run, metric: str) -> float:
    return float(np.nan_to_num(number(run, metric)))


def _right(run: Run) -> FloatArray:
    """Return which test examples a run classifies right, as its accuracy counts them."""
    logits, labels = predictions(run)
    right: FloatArray = (logits.argmax(1) == labels).numpy()
    return right


@cache
def _log_factorials(most: int) -> FloatArray:
    factorials: FloatArray = gammaln(np.arange(most + 1) + 1.0)
    return factorials


def _choose(of: IntArray, number: int) -> FloatArray:
    """Return binomial coefficients, 0 where there are too few, over a common factor."""
    factorials = _log_factorials(int(of.max()))
    logs = factorials[of] - factorials[np.maximum(of - number, 0)]
    found: FloatArray = np.where(of >= number, np.exp(logs - number * np.log(of.max())), 0.0)
    return found


def _afters(val: FloatArray, test: FloatArray, counts: Sequence[int]) -> FloatArray:
    """Return :func:`after` for each count and loss, ``(C, L)``."""
    return np.array([[after(v, t, n) for v, t in zip(val, test, strict=True)] for n in counts])


def _behind(accuracies: FloatArray) -> float:
    return float(np.median(accuracies.max() - accuracies))


def _level(accuracies: FloatArray, reference: int, near: float) -> float:
    return float(np.sum(np.abs(accuracies - accuracies[reference]) <= near) - 1)


def _best(val: FloatArray) -> int:
    """Return the place of the highest accuracy; of equal ones the middle, as rates are ordered."""
    places = np.flatnonzero(val == val.max())
    return int(places[(len(places) - 1) // 2])


def _summary(val: FloatArray, test: FloatArray, seeds: IntArray) -> dict[str, Any]:
    """Return what borrowing costs, each seed in turn measured and the others chosen by.

    Args:
        val: ``(L, V, S)``.
        test: ``(L, V, S)``.
        seeds: Some of the S, at least two different ones.
    """
    copies = np.bincount(seeds, minlength=val.shape[2])
    losses = len(val)
    cost, own = np.zeros((losses, losses)), np.zeros(losses)
    for seed in np.flatnonzero(copies):
        others = copies * (np.arange(len(copies)) != seed)
        best = [_best(row) for row in np.round(val @ others, 9)]
        at = test[:, best, seed]  # (borrower, lender)
        cost += copies[seed] * (np.diag(at)[:, None] - at) / len(seeds)
        own += copies[seed] * np.diag(at) / len(seeds)
    pairs = ~np.eye(losses, dtype=bool)
    apart = np.abs(own[:, None] - own)[pairs]
    pair, choice = float(np.median(cost[pairs])), float(np.median(apart))
    total = max(losses - 1, 1)
    return {
        "cost": cost, "loses": cost.sum(1) / total, "costs": cost.sum(0) / total,
        "pair": pair, "choice": choice, "ratio": pair / choice if choice else np.inf,
    }  # fmt: skip


def _percent(quantity: Quantity) -> str:
    return f"{quantity.value:.1%} [{quantity.low:.1%}, {quantity.high:.1%}]".replace("%", "")


def _points(quantity: Quantity) -> str:
    ends = (f"{100 * (end or 0.0):.1f}" for end in (quantity.low, quantity.high))
    return f"{100 * quantity.value:.1f} [{', '.join(ends)}]".replace("-", "−")


def _rank(quantity: Quantity) -> str:
    return f"{quantity.value:g} [{quantity.low:.0f}, {quantity.high:.0f}]"


def _cells(
    rows: list[str], columns: list[str], values: list[list[float]], *, title: str, x_label: str,
    y_label: str = "", label: str, darkest: float,
) -> Panel:  # fmt: skip
    cells = Cells(rows=rows, columns=columns, values=values, label=label, darkest=darkest)
    return Panel(title=title, x_label=x_label, y_label=y_label, curves=[], cells=cells)


def _curves(
    grid: Grid,
    counts: list[int],
    value: FloatArray,
    drawn: FloatArray,
    order: IntArray,
    labels: Mapping[str, str],
) -> Drawing:
    """Draw accuracy against the number of trials, six losses a panel, in the order of ranks."""
    panels = []
    x = [float(n) for n in counts]
    error = 1 - value
    low, high = 1 - np.quantile(drawn, (0.975, 0.025), axis=0)
    for start in range(0, len(order), 6):
        curves = [
            Curve(
                label=labels[grid.losses[place]], loss=grid.losses[place], x=x,
                y=error[:, place].tolist(), low=low[:, place].tolist(),
                high=high[:, place].tolist(),
            )
            for place in order[start : start + 6]
        ]  # fmt: skip
        panels.append(
            Panel(
                title=f"Ranks {start + 1} to {min(start + 6, len(order))}",
                x_label="trials", curves=curves, x_log=True, y_log=True, ticks="values",
                y_label="" if start % 12 else "test error (%)", percent="shown",
            )
        )  # fmt: skip
    return Drawing(
        name="trials", panels=panels, columns=2, share="y",
        caption="Test error to expect of the best of some trials of the learning rate, by "
        "validation accuracy, on logarithmic axes; bands: 95% intervals",
    )  # fmt: skip
