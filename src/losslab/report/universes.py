"""Multiverse analysis: in how many universes the reference is ahead, and what changes that."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from scipy import special

from losslab.figures import Curve, Drawing, Panel, styles_of
from losslab.report.estimates import Comparison
from losslab.report.measurement import (
    Measurement,
    Quantity,
    TableOfNumbers,
    interval_bars,
    zero_line,
)
from losslab.report.plan import Plan
from losslab.report.statistics import LEVEL, FloatArray, binomial_interval

UNIVERSES = "universes"  # the measure's name
POINT = 0.01  # of accuracy

Standing = Literal["ahead", "level", "behind"]
"""The reference against an arm: ahead or behind by at least one point of accuracy, or level."""

Universe = tuple[Mapping[str, str], Comparison]
"""The level of each choice, and an arm's test accuracy less the reference's."""

Effects = dict[tuple[str, str], tuple[float, float, float]]
"""By choice and level: an effect and the ends of its interval."""


def standing(low: float, high: float) -> Standing | None:
    """Return where the reference stands, given the range of an arm's accuracy less its own.

    ``None`` if the range allows more than one answer.

    >>> standing(-0.03, -0.02), standing(-0.03, 0.0)
    ('ahead', None)
    """
    if high <= -POINT:
        return "ahead"
    if low >= POINT:
        return "behind"
    return "level" if low > -POINT and high < POINT else None


def by_mean(differences: Iterable[float]) -> Counter[Standing | None]:
    """Count where the reference stands, given differences without intervals.

    >>> by_mean([-0.02, -0.005, 0.0])["level"]
    2
    """
    return Counter(standing(difference, difference) for difference in differences)


def count_universes(plan: Plan, gaps: Mapping[str, Comparison]) -> Measurement:
    """Count where the reference stands against each arm, and measure how each choice moves the gap.

    Quantities of each arm, and of ``all`` arms together:

    - ``<arm>.ahead``, ``.level`` and ``.behind``: the share of universes in which the mean puts the
      reference there, with the exact binomial interval;
    - ``<arm>.ahead.<choice>.<level>`` and so on: the same among universes with this level;
    - ``<arm>.gap.<choice>.<level>``, not for ``all``: the points that a level adds to the gap,
      compared with the first level of the choice (:func:`effects`).
    """
    families: dict[str, list[Universe]] = {}
    for name, gap in gaps.items():
        levels = plan.conditions[plan.arms[name].condition].choices or {}
        families.setdefault(name.partition("@")[0], []).append((levels, gap))
    groups = {**families, "all": [universe for group in families.values() for universe in group]}
    labels = [*(plan.families[family].label for family in families), "all"]
    quantities: dict[str, Quantity] = {}
    for family, universes in groups.items():
        quantities |= _shares(family, "", [gap for _, gap in universes])
    level_rows = []
    for choice, level in _levels(plan):
        level_rows.append([_text(level)])
        for family, universes in groups.items():
            there = [gap for levels, gap in universes if levels[choice] == level]
            quantities |= _shares(family, f".{choice}.{level}", there)
            counts = by_mean(gap.mean for gap in there)
            level_rows[-1].append(" / ".join(str(counts[each]) for each in get_args(Standing)))
    changes: dict[str, Effects] = {}
    for family, universes in families.items():
        points = 100 * np.array([gap.mean for _, gap in universes])
        changes[family] = effects(points, [levels for levels, _ in universes], plan.choices)
        for (choice, level), (value, low, high) in changes[family].items():
            quantities[f"{family}.gap.{choice}.{level}"] = Quantity(
                value=value,
                low=low,
                high=high,
                n=len(universes),
                what=f"points that {choice} {level} adds to the gap in place of the usual level",
            )
    standings = f"{plan.reference_label} ahead / level / behind, by a point"
    tables = [
        TableOfNumbers(
            title=f"Universes: {standings}",
            columns=["", "universes", *get_args(Standing), "median gap", "widest gaps"],
            rows=[
                [label, *_row([gap for _, gap in universes])]
                for label, universes in zip(labels, groups.values(), strict=True)
            ],
        ),
        TableOfNumbers(title=f"By choice: {standings}", columns=["", *labels], rows=level_rows),
    ]
    drawings = []
    if all(changes.values()):
        tables.append(_table(changes, ["", *labels[:-1]]))
        drawings.append(_drawing(list(families), quantities, plan))
    return Measurement(quantities=quantities, drawings=drawings, tables=tables)


def _levels(plan: Plan) -> list[tuple[str, str]]:
    return [(choice, level) for choice, levels in plan.choices.items() for level in levels]


def effects(
    values: FloatArray, levels: Sequence[Mapping[str, str]], choices: Mapping[str, Sequence[str]]
) -> Effects:
    """Return what each level adds to a number, compared with the first level of its choice.

    A least-squares regression of U universes on all levels. Intervals are over universes, by
    Student's t with U less the number of coefficients as degrees of freedom and HC3 standard errors
    (MacKinnon & White 1985), which allow for noise that differs between universes: interactions of
    choices count as noise. Empty if there are too few universes.

    >>> two = [{"a": level} for level in "xyxy"]
    >>> effects(np.array([1.0, 3.0, 2.0, 4.0]), two, {"a": ["x", "y"]})["a", "y"]
    (2.0, -2.302..., 6.302...)
    """
    names = [(choice, level) for choice, others in choices.items() for level in others[1:]]
    columns = [[float(each[choice] == level) for each in levels] for choice, level in names]
    design = np.array([np.ones(len(levels)), *columns]).T
    freedom = len(design) - design.shape[1]
    if freedom < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return {}
    inverse = np.linalg.inv(design.T @ design)
    fitted = inverse @ design.T @ values
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    residuals = (values - design @ fitted) / np.maximum(1 - leverage, 1e-9)
    errors = np.sqrt(np.diag(inverse @ (design.T * residuals**2) @ design @ inverse))
    half = special.stdtrit(freedom, (1 + LEVEL) / 2) * errors
    ends = zip(names, fitted[1:], half[1:], strict=True)
    return {name: (float(at), float(at - width), float(at + width)) for name, at, width in ends}


def _text(level: str) -> str:
    return level.replace("_", " ")


def _shares(family: str, suffix: str, gaps: Sequence[Comparison]) -> dict[str, Quantity]:
    counts, n, quantities = by_mean(gap.mean for gap in gaps), len(gaps), {}
    for each in get_args(Standing) if n else ():
        low, high = binomial_interval(counts[each], n)
        quantities[f"{family}.{each}{suffix}"] = Quantity(
            value=counts[each] / n,
            low=low,
            high=high,
            n=n,
            count=counts[each],
            what=f"share of universes with the reference {each} by the mean",
        )
    return quantities


def _row(gaps: Sequence[Comparison]) -> list[str]:
    """Return the counts by mean and, in brackets, how many of them hold for the whole interval."""
    counts = by_mean(gap.mean for gap in gaps)
    sure = Counter(standing(*gap.interval) for gap in gaps if gap.interval)
    points = 100 * np.array([gap.mean for gap in gaps] or [np.nan])
    numbers = [np.median(points), points.min(), points.max()]
    # The sum with 0 makes a rounded −0 a 0.
    median, low, high = (f"{round(n, 1) + 0:+.1f}".replace("-", "−") for n in numbers)
    cells = [f"{counts[each]} ({sure[each]} surely)" for each in get_args(Standing)]
    return [str(len(gaps)), *cells, median, f"{low} to {high}"]


def _table(changes: Mapping[str, Effects], columns: list[str]) -> TableOfNumbers:
    rows: dict[tuple[str, str], list[str]] = {}
    for changed in changes.values():
        for name, (value, low, high) in changed.items():
            text = f"{value:+.1f} [{low:+.1f}, {high:+.1f}]".replace("-", "−")
            rows.setdefault(name, [_text(name[1])]).append(text)
    title = "Percentage points that a level adds to the gap, in place of the usual one"
    return TableOfNumbers(title=title, columns=columns, rows=list(rows.values()))


def _drawing(families: Sequence[str], quantities: Mapping[str, Quantity], plan: Plan) -> Drawing:
    """Draw the effect of levels on the gap, and the share with the reference ahead at each."""
    levels = _levels(plan)
    new = [(choice, level) for choice, level in levels if level != plan.choices[choice][0]]
    gaps: list[Curve] = [zero_line(len(new))]
    shares: list[Curve] = []
    styles = styles_of({name: arm.loss for name, arm in plan.families.items()})
    for index, family in enumerate(families):
        shift = 0.2 * (index - (len(families) - 1) / 2)
        for curves, kind, names in ((gaps, "gap", new), (shares, "ahead", levels)):
            members = [quantities[f"{family}.{kind}.{choice}.{level}"] for choice, level in names]
            x = [position + shift for position in range(len(names))]
            label, style = plan.families[family].label, styles[family]
            curves.append(interval_bars(members, x, label=label, style=style))
    reference = plan.reference_label
    panels = [
        Panel(
            title="What a level adds to the gap",
            curves=gaps,
            y_label="points of test accuracy,\n95% interval over universes",
            ticks=[
                (f"{_text(level)} for {_text(plan.choices[choice][0])}", float(at))
                for at, (choice, level) in enumerate(new)
            ],
        ),
        Panel(
            title=f"Universes with {reference} ahead",
            curves=shares,
            percent="shown",
            y_label="share (%) ahead by a point,\nexact 95% interval",
            ticks=[(_text(level), float(at)) for at, (_, level) in enumerate(levels)],
        ),
    ]
    return Drawing(
        name="choices",
        caption="What each choice adds to the gap, and how it stands at each level",
        panels=panels,
        columns=1,
        size=(12, 8.5),
        legend_below=True,
        title_width=90,
    )
