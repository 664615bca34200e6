"""In how many runs a class is lost, at each learning rate, and in how many it comes back."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from safetensors.torch import load

from losslab.data.parts import shift_and_scale
from losslab.figures import Curve, Drawing, Panel
from losslab.recording import Run
from losslab.report.measurement import Measurement, Quantity, TableOfNumbers
from losslab.report.statistics import binomial_interval
from losslab.study.measure import Runs, number, predictions, share, untrained, value_of
from losslab.study.numbers import recalls_of
from lost_classes.remedies import dead_channels

BELOW = 0.01  # recall at which a class is lost
RULED_OUT = 0.01  # median p_y of a lost class; a class not yet learned has about 1/K
RATE = "optimizer.lr"
WHAT = f"share of runs in which some class's recall on the test part is below {BELOW:g}"


def lost(run: Run) -> list[int]:
    """Return the classes that a run has lost, by their test recall."""
    return np.flatnonzero(recalls_of(run) < BELOW).tolist()


def hazard(
    runs: Runs,
    *,
    labels: Mapping[str, str],
    usual: tuple[float, float],
    pairs: Mapping[str, list[tuple[str, float | str]]],
) -> Measurement:
    """Measure the share of runs that lose a class at each learning rate.

    Quantities, each a share with an exact interval: ``<set>_<rate>``; ``<set>_best`` at the rate
    of the set's highest mean validation accuracy; and of the pairs, of the seeds in which just
    one of two points lost a class, the share in which it was the first: 0.5 if neither does so
    more easily (McNemar 1947).

    Args:
        runs: Sets with a grid of learning rates, the same seeds at each rate of a set.
        labels: Of the sets, as people read them.
        usual: The range of rates of ``ruled_out`` and ``alive``, which are about the first set: of
            its runs that lost a class, the share in which the network rules out such a class
            (median p_y below 0.01), and that has no dead channel.
        pairs: Name to two points, each a set and a rate or ``best``.
    """
    points = {name: _by_rate(members) for name, members in runs.items()}
    best = {
        name: max(rates, key=lambda r: _mean(rates[r], "val")) for name, rates in points.items()
    }
    quantities: dict[str, Quantity] = {}
    rows, curves, dots = [], [], []
    for place, (name, rates) in enumerate(points.items()):
        shares = {rate: _lost_share(members) for rate, members in rates.items()}
        quantities |= {f"{name}_{rate:g}": found for rate, found in shares.items()}
        quantities[f"{name}_best"] = shares[best[name]]
        for rate, members in rates.items():
            kept = [number(run, "test/accuracy") for run in members if not lost(run)]
            rows.append([
                labels[name], f"{rate:g}", f"{shares[rate].count} of {len(members)}",
                f"{_mean(members, 'val'):.1%}" + " (best)" * (rate == best[name]),
                f"{np.mean(kept):.1%}" if kept else "–",
            ])  # fmt: skip
        loss = runs[name][0].choices["loss"]
        curves.append(_bars(labels[name], shares, loss=loss, ring=best[name]))
        spread = np.linspace(-0.03, 0.03, len(next(iter(rates.values())))) + (0.045, -0.045)[place]
        dotted = [
            (rate * 10 ** float(shift), number(run, "test/accuracy"))
            for rate, members in rates.items()
            for shift, run in zip(spread, members, strict=True)
        ]
        x, y = map(list, zip(*dotted, strict=True))
        dots.append(Curve(x=x, y=y, line=False, loss=loss))
    for name, sides in pairs.items():
        at = [(of, best[of] if rate == "best" else float(rate)) for of, rate in sides]
        one, other = ({run.seed: bool(lost(run)) for run in points[of][rate]} for of, rate in at)
        what = "of the seeds in which just one lost a class, those in which {} at {:g} did"
        quantities[name] = _discordant(one, other, what=what.format(*at[0]))
    first = next(iter(points.values()))
    low, high = usual
    gone = [r for rate, each in first.items() if low <= rate <= high for r in each if lost(r)]
    out = sum(min(_median(run, k) for k in lost(run)) < RULED_OUT for run in gone)
    of = f"of the runs at rates of {low:g} to {high:g} that lost a class, those"
    quantities["ruled_out"] = share(
        out, len(gone), f"{of} with a median p_y below {RULED_OUT:g} there"
    )
    quantities["alive"] = share(_alive(gone), len(gone), f"{of} without a dead channel")
    caption = (
        "Share of runs that end without one of the classes, and the test accuracy of every run, at "
        "each learning rate; bars: exact 95% intervals, rings: the rate of the highest mean "
        "validation accuracy"
    )
    shown: dict[str, Any] = {"x_label": "learning rate", "x_log": True, "percent": "whole"}
    panels = [
        Panel(title="Runs that lost a class", y_label="share of runs (%)", curves=curves, **shown),
        Panel(title="Every run", y_label="test accuracy (%)", curves=dots, **shown),
    ]  # fmt: skip
    table = TableOfNumbers(
        title="Runs that lost a class, by learning rate",
        columns=["", "rate", "lost a class", "validation accuracy", "test accuracy of the others"],
        rows=rows,
    )
    drawing = Drawing(name="hazard", caption=caption, panels=panels, legend_below=True)
    return Measurement(quantities=quantities, drawings=[drawing], tables=[table])


def recovery(runs: Runs, *, start: str, against: str, labels: Mapping[str, str]) -> Measurement:
    """Measure in how many runs without a class training from there, in some way, brings it back.

    Quantities of each way: ``<way>``, of the runs that had lost a class, the share that ends with
    all of them; ``<way>_harm``, of the others, the share that ends without one;
    ``<way>_beyond``, of the runs that came back in just one of it and ``against``, the share of it
    (McNemar 1947).

    Args:
        runs: ``start`` and the ways on from it, seed by seed.
        start: The set whose final states are trained on.
        against: The way without a remedy.
        labels: Of the sets, as people read them.
    """
    gone = {run.seed: bool(lost(run)) for run in runs[start]}
    back = {
        name: {run.seed: not lost(run) for run in members}
        for name, members in runs.items()
        if name != start
    }
    quantities: dict[str, Quantity] = {}
    rows, shown = [], {}
    for place, (name, ended) in enumerate(back.items()):
        came = {seed: ended[seed] for seed in gone if gone[seed]}
        went = [not ended[seed] for seed in gone if not gone[seed]]
        found = share(sum(came.values()), len(came), "share of runs that regain all classes")
        harm = share(sum(went), len(went), "share of runs with all classes that lose one")
        quantities |= {name: found, f"{name}_harm": harm}
        of = {run.seed: number(run, "test/accuracy") for run in runs[name]}
        row = [labels[name], f"{found.count} of {found.n}", f"{harm.count} of {harm.n}"]
        row.append("–")
        if name != against:
            usual = {seed: back[against][seed] for seed in came}
            what = (
                f"of the runs that regain all in just one of {name} and {against}, those of {name}"
            )
            quantities[f"{name}_beyond"] = beyond = _discordant(came, usual, what=what)
            row[-1] = f"{beyond.count} of {beyond.n}"
        rows.append([*row, f"{np.mean([of[seed] for seed in came]):.1%}" if came else "–"])
        shown[float(place)] = found
    panel = Panel(
        title="", y_label="runs that regain all classes (%)", percent="whole",
        curves=[_bars("", shown, loss=runs[start][0].choices["loss"], line=False)],
        ticks=[(labels[name], float(place)) for place, name in enumerate(back)],
    )  # fmt: skip
    count = sum(gone.values())
    caption = (
        f"Of {count} runs that lost a class, the share that has all classes after more training "
        "from there, by what is changed; bars: exact 95% intervals"
    )
    columns = ["from there on", "regained all classes", "lost one, of those with all"]
    columns += ["of those that only one way regains, this way", "test accuracy of the former"]
    size = (1.5 + 1.2 * len(back), 4.2)
    return Measurement(
        quantities=quantities,
        drawings=[Drawing(name="recovery", caption=caption, panels=[panel], size=size)],
        tables=[TableOfNumbers(title="What brings a class back", columns=columns, rows=rows)],
    )


def _by_rate(members: Sequence[Run]) -> dict[float, list[Run]]:
    """Return the runs at each learning rate, ascending, by seed."""
    found: dict[float, list[Run]] = {}
    for run in sorted(members, key=lambda run: (float(value_of(run, RATE)), run.seed)):
        found.setdefault(float(value_of(run, RATE)), []).append(run)
    return found


def _lost_share(members: Sequence[Run]) -> Quantity:
    return share(sum(bool(lost(run)) for run in members), len(members), WHAT)


def _mean(members: Sequence[Run], part: str) -> float:
    return float(np.mean([number(run, f"{part}/accuracy") for run in members]))


def _median(run: Run, label: int) -> float:
    """Return the median probability that a class's test examples give to it."""
    logits, labels = predictions(run)
    return float(logits.softmax(1)[labels == label, label].median())


def _alive(runs: Sequence[Run]) -> int:
    """Count the runs without a dead channel, by 1,000 training images."""
    if not runs:
        return 0
    data, model = untrained(runs[0])
    shift, scale = shift_and_scale(data.mean, data.std)
    images = data.train.images[:1000].float().sub_(shift).mul_(scale)
    count = 0
    for run in runs:
        model.load_state_dict(load(run.read(run.files.model)))
        count += not any(dead.any() for dead in dead_channels(model, images).values())
    return count


def _discordant(one: Mapping[int, bool], other: Mapping[int, bool], *, what: str) -> Quantity:
    """Return, of the common seeds in which just one is true, the share in which ``one`` is."""
    differ = [seed for seed in one.keys() & other.keys() if one[seed] != other[seed]]
    return share(sum(one[seed] for seed in differ), len(differ), what)


def _bars(
    label: str, points: Mapping[float, Quantity], *, loss: str | None = None,
    ring: float | None = None, line: bool = True,
) -> Curve:  # fmt: skip
    ends = [binomial_interval(found.count or 0, found.n) for found in points.values()]
    return Curve(
        label=label, x=list(points), y=[found.value for found in points.values()], loss=loss,
        low=[low for low, _ in ends], high=[high for _, high in ends], bars=True, ring=ring,
        line=line,
    )  # fmt: skip
