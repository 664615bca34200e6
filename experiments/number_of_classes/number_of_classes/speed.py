"""How long a loss needs to get half way to cross-entropy, and how far its best target is behind."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from losslab.figures import Curve, Drawing, Panel, Style
from losslab.recording import Run
from losslab.report.measurement import Measurement, Quantity, TableOfNumbers
from losslab.report.statistics import FloatArray
from losslab.study.measure import Runs, number, record, value_of
from number_of_classes.rows import groups

RESAMPLES = 2000
SHARE = 0.5
"""Of the way from chance to cross-entropy's final accuracy."""
_ARROW, _ABOVE = Style("#262626", "^", "none"), 1.3


def classes(run: Run) -> int:
    """Return how many classes have examples."""
    return math.prod(map(len, groups(value_of(run, "data.merge"))))


@dataclass(frozen=True)
class Race:
    """Validation accuracies of a set of runs and of those that it is compared with."""

    epochs: list[float]  # of the evaluations, (E,)
    mine: FloatArray  # (S, E)
    other_epochs: list[float]
    other: FloatArray
    classes: int  # K

    def times(self, index: Any) -> tuple[float, float]:
        """Return when the mean over some seeds is half way, for both; infinity for never."""
        chance = 1 / self.classes
        level = chance + SHARE * (float(self.other[index, -1].mean()) - chance)
        return (
            _first(self.epochs, self.mine[index].mean(axis=0), level),
            _first(self.other_epochs, self.other[index].mean(axis=0), level),
        )

    def ratio(self, index: Any) -> float:
        """Return the ratio of the times, at least that of a whole training."""
        mine, other = self.times(index)
        return min(mine, self.epochs[-1]) / other


class Point(NamedTuple):
    """A ratio of times in the figure; at least that unless ``reached``."""

    ratio: Quantity
    reached: bool


def half_way(
    runs: Runs, *, against: str, panels: Mapping[str, Sequence[str]],
    longer: Mapping[str, str], labels: Mapping[str, str],
) -> Measurement:  # fmt: skip
    """Measure the epochs to half of what cross-entropy learns, over those of cross-entropy.

    The level of a condition is 1/K + (a − 1/K)/2, where a is the mean final validation accuracy of
    ``against`` in that condition. The mean over seeds is interpolated linearly between
    evaluations. A quantity ``<arm>@<condition>`` is a ratio of epochs; its interval is the
    percentile bootstrap's over seeds, drawn together for both. Who does not get there counts with
    the whole of its training, so that the ratio is at least that (≥ in the table).

    Args:
        runs: Sets ``<arm>@<condition>``, and those of ``longer``.
        against: The arm to compare with.
        panels: Titles to conditions, in the order of K.
        longer: Sets with a grid of rates to their condition; the rate of the highest mean final
            validation accuracy counts.
        labels: Of the sets.
    """
    quantities: dict[str, Quantity] = {}
    points: dict[tuple[str, str], dict[float, Point]] = {}
    rows = []
    at = {condition: title for title, each in panels.items() for condition in each}
    for name, members in runs.items():
        arm, _, condition = name.partition("@")
        condition = longer.get(name, condition)
        mine = _best_rate(members) if name in longer else members
        race = Race(*_recorded(mine), *_recorded(runs[f"{against}@{condition}"]), classes(mine[0]))
        time, _ = race.times(slice(None))
        shown = f"{time:.2g}" if math.isfinite(time) else f"≥ {race.epochs[-1]:g}"
        final = float(race.mine[:, -1].mean())
        label = labels.get(name, "")
        if name in longer:
            usual = labels.get(f"{mine[0].choices['loss']}@{condition}", name)
            label = f"{usual}, {race.epochs[-1]:g} epochs"
        rows.append([label, shown, f"{final:.1%}", f"{len(mine)}"])
        if arm == against:
            continue
        value, low, high = _bootstrapped(race.ratio, len(mine))
        what = f"epochs to half of what {against} learns, over those of {against}"
        found = Quantity(value=value, low=low, high=high, n=len(mine), what=what)
        quantities[name] = found
        if condition in at:
            # Longer training of an arm comes later, and takes the place of the usual one.
            arm = mine[0].choices["loss"] if name in longer else arm
            key = at[condition], arm
            points.setdefault(key, {})[float(race.classes)] = Point(found, math.isfinite(time))
    table = TableOfNumbers(
        title="Epochs to half of what cross-entropy learns from chance",
        columns=["", "epochs", "final validation accuracy", "n"],
        rows=rows,
    )
    return Measurement(
        quantities=quantities, tables=[table], drawings=[_drawn(points, panels, labels, runs)]
    )


def tuned(runs: Runs, *, against: str, labels: Mapping[str, str]) -> Measurement:
    """Measure how far the best of several targets is behind, ``<condition>``, in test accuracy.

    The best is that of the highest mean validation accuracy over the confirming seeds; the choice
    is repeated in every draw of the percentile bootstrap over seeds.

    Args:
        runs: Sets ``<arm>@<condition>``: the targets, and ``against``.
        against: The arm to compare with.
        labels: Of the sets.
    """
    values = {
        name: np.array([[number(run, f"{part}/accuracy") for run in members]
                        for part in ("val", "test")])
        for name, members in runs.items()
    }  # fmt: skip
    quantities, rows = {}, []
    for condition in dict.fromkeys(name.partition("@")[2] for name in runs):
        reference = values[f"{against}@{condition}"]
        arms = [n for n in runs if n.endswith(f"@{condition}") and n.partition("@")[0] != against]
        every = np.stack([values[name] for name in arms])
        value, low, high = _bootstrapped(partial(_gap, every, reference), n := reference.shape[1])
        what = f"test accuracy of the best target minus that of {against}"
        quantities[condition] = Quantity(value=value, low=low, high=high, n=n, what=what)
        chosen = labels[arms[_best(every, slice(None))]]
        rows.append([chosen, f"{100 * value:+.1f} pp".replace("-", "−"), f"{n}"])
    columns = ["best of the targets, by validation accuracy", "minus cross-entropy", "n"]
    table = TableOfNumbers(title="The target that validation chooses", columns=columns, rows=rows)
    return Measurement(quantities=quantities, tables=[table])


def _recorded(members: Sequence[Run]) -> tuple[list[float], FloatArray]:
    """Return the epochs of the evaluations ``(E,)``, and the accuracies of each run ``(S, E)``.

    Of a run that diverged the last accuracy counts.
    """
    ordered = sorted(members, key=lambda run: run.seed)
    found = [record(run, "val/accuracy", over="epoch") for run in ordered]
    epochs = max((places for places, _ in found), key=len)
    each = [
        accuracies + accuracies[-1:] * (len(epochs) - len(accuracies)) for _, accuracies in found
    ]
    return epochs, np.array(each)


def _best_rate(members: Sequence[Run]) -> list[Run]:
    rates: dict[float, list[Run]] = {}
    for run in members:
        rates.setdefault(float(value_of(run, "optimizer.lr")), []).append(run)
    return max(rates.values(), key=lambda each: float(_recorded(each)[1][:, -1].mean()))


def _first(x: Sequence[float], y: FloatArray, level: float) -> float:
    """Return where a curve first reaches a level, infinity if it does not.

    >>> _first([0, 1, 2], np.array([0.0, 0.4, 0.8]), 0.6), _first([0, 1], np.array([0.0, 0.4]), 0.6)
    (1.5, inf)
    """
    place = int(np.argmax(y >= level))
    if y[place] < level:
        return math.inf
    if place == 0:
        return float(x[0])
    return float(np.interp(level, y[place - 1 : place + 1], x[place - 1 : place + 1]))


def _best(every: FloatArray, index: Any) -> int:
    """Return which of ``(arms, parts, S)`` has the highest mean in the first part."""
    return int(every[:, 0, index].mean(axis=-1).argmax())


def _gap(every: FloatArray, reference: FloatArray, index: Any) -> float:
    """Return by how much that one's mean in the second part exceeds the reference's."""
    return float((every[_best(every, index), 1, index] - reference[1, index]).mean())


def _bootstrapped(of: Callable[[Any], float], n: int) -> tuple[float, float, float]:
    draws = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
    low, high = np.quantile([of(index) for index in draws], (0.025, 0.975))
    return of(slice(None)), float(low), float(high)


def _drawn(
    points: Mapping[tuple[str, str], Mapping[float, Point]],
    panels: Mapping[str, Sequence[str]], labels: Mapping[str, str], runs: Runs,
) -> Drawing:  # fmt: skip
    drawn: dict[str, list[Curve]] = {title: [] for title in panels}
    bounds: dict[str, list[Curve]] = {title: [] for title in panels}
    for (title, arm), by_classes in points.items():
        first = next(name for name in runs if name.partition("@")[0] == arm)
        ratios = [point.ratio for point in by_classes.values()]
        drawn[title].append(
            Curve(
                label=labels[first].rpartition(", ")[0], loss=arm, bars=True,
                x=list(by_classes), y=[ratio.value for ratio in ratios],
                low=[ratio.interval.low for ratio in ratios],
                high=[ratio.interval.high for ratio in ratios],
            )
        )  # fmt: skip
        least = {x: p.ratio.value for x, p in by_classes.items() if not p.reached}
        if least:
            above = [_ABOVE * ratio for ratio in least.values()]
            bounds[title].append(
                Curve(label="not reached: at least", x=list(least), y=above, style=_ARROW)
            )
    caption = (
        "Epochs to half of what cross-entropy learns from chance, over those of cross-entropy with "
        "the same optimizer; who does not get there counts with all of its epochs, at most four "
        "times as many, and has an arrow; bars: 95% intervals"
    )
    shown: dict[str, Any] = {
        "x_label": "number of classes K",
        "x_log": True,
        "y_log": True,
        "ticks": "values",
    }
    return Drawing(
        name="half_way", caption=caption, legend_below=True, share="y",
        panels=[
            Panel(
                title=title, y_label="epochs over those of cross-entropy",
                curves=curves + bounds[title], **shown,
            )
            for title, curves in drawn.items()
        ],
    )  # fmt: skip
