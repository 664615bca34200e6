"""Write each loss at its best learning rate as one TensorBoard run, averaged over seeds.

TensorBoard's classic pages select no run if there are more than 40, so the links show these few
instead. They have readable names, ``best/mse_softmax lr=1``. The space after the loss lets a filter
tell ``mse`` from ``mse_softmax``.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from losslab.figures import LOSS_STYLES
from losslab.files import check_generated
from losslab.recording import Run, flatten
from losslab.recording.results import read_scalars
from losslab.report import over_seeds
from losslab.report.estimates import select, tuning_points
from losslab.report.plan import Plan, Side
from losslab.report.runs import by_group, naming_keys, sweep_folder
from losslab.report.sweep_report import key_text, value_text
from losslab.tensorboard import LAYOUT_TAGS, PALETTE, is_shown, read_events

FOLDER = "best"
"""Next to the configurations. Never taken for a run, as those are in folders ``seed=<n>``."""

_LONGEST_NAME = 100


def write_best(root: Path, runs: Sequence[Run], plan: Plan | None = None) -> Path | None:
    """Write each loss at its chosen rate, averaged over seeds, under the tags of its runs.

    Writes nothing for a part of a study or sweep. Unchanged files are kept, outdated ones removed.
    Returns the folder, ``None`` if no run is finished.
    """
    chosen = _of_study(plan, runs) if plan and plan.arms else _of_sweep(runs)
    if not chosen or sweep_folder(runs) != root.resolve():
        return None
    folder = root / FOLDER
    for name in chosen:
        check_generated(folder / name, below=root)
    # TensorBoard assigns colours in the order of start times: these runs start before all others,
    # a millisecond apart.
    order = _nearest_colours({name: runs[0].loss for name, runs in chosen.items()})
    first = min(over_seeds.start_of(run) for run in runs if run.finished) - 1
    written = set()
    for name, members in chosen.items():
        drawn = (root / over_seeds.FOLDER / members[0].group).glob(f"*{over_seeds.SUFFIX}")
        start = first + order[name.partition(" ")[0]] / 1000
        written.add(_write(folder / name, members, start, drawn=sorted(drawn)[-1:]))
    over_seeds.remove_others(folder, written)
    return folder


def _of_study(plan: Plan, runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs of each arm at its own value: confirming runs, or else tuning runs."""
    by_name = {run.name: run for run in runs if run.finished}
    choices = select(tuning_points(plan, runs))
    # Runs that several conditions share are listed once, without the name of a condition.
    chosen: dict[str, tuple[list[str], list[Run]]] = {}
    for arm in plan.arms:
        value = plan.chosen.get(arm, choices[arm].value if arm in choices else None)
        if value is None:
            continue
        planned = [run.run for run in plan.confirming(Side(arm, "own"))]
        tuned = [run.run for run in plan.tune if run.arm == arm and run.value == value]
        members = [
            [by_name[name] for name in names if name in by_name] for names in (planned, tuned)
        ]
        loss, _, condition = arm.partition("@")
        words = [_word(loss), *filter(None, [_word(condition)])]
        words.append(f"{plan.parameter.rpartition('.')[2]}={value:g}")
        if any(members):
            own = members[0] or members[1]
            others, _ = chosen.get(own[0].name, (words, own))
            chosen[own[0].name] = [word for word in others if word in words], own
    return {_joined(words): own for words, own in chosen.values()}


def _of_sweep(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs of each loss's configuration with the highest validation accuracy."""
    groups = by_group(run for run in runs if run.finished)
    configs = {group: flatten(members[0].config) for group, members in groups.items()}
    losses = {group: members[0].loss for group, members in groups.items()}
    keys = naming_keys(list(losses.values()), list(configs.values()))

    def score(group: str) -> float:
        return float(np.mean([run.summary.get("val/accuracy", 0.0) for run in groups[group]]))

    found = {}
    for loss in dict.fromkeys(losses.values()):
        best = max((group for group, each in losses.items() if each == loss), key=score)
        varied = {key_text(key): configs[best][key] for key in keys if key in configs[best]}
        words = [f"{k.rpartition('.')[2]}={_word(value_text(v))}" for k, v in varied.items()]
        found[_joined([_word(loss), *words])] = groups[best]
    return found


def _word(text: str) -> str:
    return re.sub(r"[^\w.=+-]|^[.]", "_", text)


def _joined(words: Sequence[str]) -> str:
    return " ".join(words)[:_LONGEST_NAME].rstrip()


def _nearest_colours(losses: Mapping[str, str]) -> dict[str, int]:
    """Return, by name, the index of the TensorBoard colour closest to the one in reports."""
    families = {name.partition(" ")[0]: loss for name, loss in losses.items()}

    def rgb(colors: Sequence[str]) -> Any:
        return np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in colors])

    grey = "#7F7F7F"
    known = {
        family: LOSS_STYLES.get(family) or LOSS_STYLES.get(loss)
        for family, loss in families.items()
    }
    ours = rgb([style.color if style else grey for style in known.values()])
    theirs = rgb([PALETTE[place % len(PALETTE)] for place in range(len(families))])
    distances = ((ours[:, None] - theirs) ** 2).sum(axis=-1)
    _, places = linear_sum_assignment(distances)
    return dict(zip(families, map(int, places), strict=True))


def _write(
    folder: Path, runs: Sequence[Run], start: float, *, drawn: Sequence[Path]
) -> Path | None:
    """Write the means over ``runs``, and the images of the ``drawn`` event file."""
    records = [
        [position | tags for position, tags in read_scalars(run.files.metrics)] for run in runs
    ]
    seen = set().union(*(record for each in records for record in each))
    tags = sorted(tag for tag in seen if "/" in tag and is_shown(tag))
    if not tags:
        return None
    # Under the tags of single runs, so that both share a chart.
    names: dict[str, tuple[str, ...]] = {f"{tag}/mean": (tag,) for tag in tags}
    for tag in filter(seen.__contains__, LAYOUT_TAGS):
        names[f"{tag}/mean"] += (f"{tag}/mean",)
        names |= {f"{tag}/{end}": (f"{tag}/{end}",) for end in ("lo", "hi")}
    means = over_seeds.means_over_seeds(runs, tags, records=records)

    def shown() -> list[Any]:
        events = (event for path in drawn for event in read_events(path))
        return [value for e in events for value in e.summary.value if value.HasField("image")]

    of = "".join(path.name for path in drawn).encode()
    return over_seeds.write_means(folder, means, start=start, names=names, of=of, shown=shown)
