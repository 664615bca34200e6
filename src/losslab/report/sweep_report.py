"""The report of a plain sweep, and its figure."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from losslab.files import is_generated
from losslab.report import formatting as show
from losslab.report.document import Document, Table
from losslab.report.findings import METRICS, Configuration, Sweep
from losslab.report.statistics import Interval
from losslab.report.study_report import measured_text, n_text, runs_and_machine

FIGURE = "accuracy_by_value.png"
RATE = "optimizer.lr"
_TERMINAL_KEYS = 3


def sweep_document(found: Sweep, figures: Collection[str] = ()) -> Document:
    """Lay out a sweep: one table, its figure, and what is missing."""
    return Document(
        "sweep",
        {
            "varied": _varied(found),
            "configurations": _table(found),
            **runs_and_machine(found.census, found.environment, figures),
        },
    )


def _varied(found: Sweep) -> str:
    losses = {configuration.loss for configuration in found.configurations}
    return ", ".join(["loss"] * (len(losses) > 1) + [key_text(key) for key in found.shown])


def _table(found: Sweep) -> Table:
    keys = found.shown
    rows = [
        (
            configuration.group,
            configuration.loss,
            *(value_text(configuration.varied.get(key)) for key in keys),
            n_text(configuration.measured[METRICS[0]]),
            *(measured_text(metric, configuration.measured[metric]) for metric in METRICS),
        )
        for configuration in found.configurations
    ]
    columns = (
        "folder",
        "loss",
        *map(key_text, keys),
        "n",
        *map(show.metric_name, METRICS),
    )
    n = 2 + len(keys)
    # The folder's name says what was varied, too, and is shorter than many columns.
    what = range(1, n) if len(keys) <= _TERMINAL_KEYS else range(1)
    return Table(columns, tuple(rows), text_columns=n, terminal=(*what, n, n + 1, n + 2))


def key_text(key: str) -> str:
    """Return a config key as people write it on the command line.

    >>> key_text("model._target_"), key_text("optimizer.lr")
    ('model', 'optimizer.lr')
    """
    return key.removesuffix("._target_")


def value_text(value: Any) -> str:
    """Return a config's value as a cell; of a path to a class its name.

    >>> value_text("losslab.models.SmallCNN"), value_text(0.001), value_text(None)
    ('SmallCNN', '0.001', '–')
    """
    if value is None:
        return show.ABSENT
    if isinstance(value, str):
        return value.rsplit(".", 1)[-1] if value.startswith("losslab.") else value
    return f"{value:g}" if isinstance(value, float) else str(value)


def draw_sweep(found: Sweep, folder: Path) -> list[Path]:
    """Draw accuracy against the learning rate where a curve has two; return the files."""
    curves: dict[str, list[Configuration]] = {}
    for configuration in found.configurations:
        rate = configuration.varied.get(RATE)
        if isinstance(rate, int | float) and configuration.measured[METRICS[0]].estimate:
            curves.setdefault(curve_name(found, configuration), []).append(configuration)
    path = folder / FIGURE
    if all(len(members) < 2 for members in curves.values()):
        if is_generated(path):
            path.unlink()
        return []
    # matplotlib takes seconds to import: only to draw.
    from losslab.report.by_value import Line, draw_by_value
    from losslab.report.canvas import drawing
    from losslab.report.plan import Arm
    from losslab.report.style import arm_styles

    folder.mkdir(parents=True, exist_ok=True)
    styles = arm_styles({name: Arm(name, members[0].loss) for name, members in curves.items()})
    with drawing():
        draw_by_value(
            [Line(name, styles[name], _points(members)) for name, members in curves.items()],
            path,
            x_label="learning rate",
            y_label="test accuracy (%)",
            note="mean over seeds, bars: 95% interval",
        )
    return [path]


def _points(members: Sequence[Configuration]) -> list[tuple[float, float, Interval | None]]:
    points = []
    for member in members:
        found = member.measured[METRICS[0]].estimate
        if found is not None:
            points.append((float(member.varied[RATE]), found.mean, found.interval))
    return sorted(points, key=lambda point: point[0])


def curve_name(found: Sweep, configuration: Configuration) -> str:
    """Return the loss and what was varied besides the rate."""
    rest = [key for key in found.shown if key != RATE and key in configuration.varied]
    values = [f"{key_text(key)}={value_text(configuration.varied[key])}" for key in rest]
    return ", ".join([configuration.loss, *values])
