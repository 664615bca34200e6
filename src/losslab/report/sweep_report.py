"""The report of a plain sweep."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from losslab.report import formatting as show
from losslab.report.document import Document, Table
from losslab.report.findings import ACCURACY, METRICS, VALIDATION, Configuration, Sweep, sweep
from losslab.report.plan import PLAN_FILE, load_plan
from losslab.report.runs import DATASET, load_runs
from losslab.report.selectors import Goal, check_recorded
from losslab.report.selectors import direction as usual_direction
from losslab.report.study_report import measured_text, n_text, runs_and_machine

FIGURE = "accuracy_by_value.png"
RATE = "optimizer.lr"
_TERMINAL_KEYS = 3
_SEVERAL = " on each data set"


def sweep_document(ranked: Sweep, figures: Collection[str]) -> Document:
    """Lay out a sweep: the best of each loss, all configurations, the figure, what is missing."""
    configurations, best = ranked.configurations, ranked.best
    several = len({configuration.loss for configuration in configurations}) > 1
    content = {
        "by": show.metric_name(ranked.by),
        "varied": ", ".join(["loss"] * several + [key_text(key) for key in ranked.shown]),
        "best": ranking(ranked, best) if len(configurations) > 1 and best else None,
        "several": _SEVERAL if len(ranked.leaders) > 1 else "",
        "configurations": ranking(ranked, configurations, METRICS),
        **runs_and_machine(ranked.census, ranked.environment, figures),
    }
    return Document("sweep", content)


def rank(path: Path, *, by: str = VALIDATION, direction: Goal | None = None) -> Sweep:
    """Rank the configurations of a folder, the best first; those of a study by tuning seeds."""
    runs = load_runs(path)
    if not runs:
        raise ValueError(f"{path} holds no runs; give the folder of a sweep or a study")
    if (path / PLAN_FILE).exists():
        # Only the chosen configurations have confirming runs.
        tuned = {run.run for run in load_plan(path).tune}
        runs = [run for run in runs if run.name in tuned] or runs
    check_recorded(by, runs)
    direction = direction or usual_direction(by)
    if direction is None:
        raise ValueError(f"--by {by}: add --direction maximize or --direction minimize")
    ranked = sweep(runs, by=by, direction=direction, metrics=[ACCURACY])
    if not ranked.best:
        raise ValueError(f"--by {by}: in each configuration a run diverged before recording it")
    return ranked


def best_document(ranked: Sweep) -> Document:
    """Lay out the best configuration of each loss."""
    table, count = ranking(ranked, ranked.best), len(ranked.configurations)
    several = _SEVERAL if len(ranked.leaders) > 1 else ""
    by = show.metric_name(ranked.by)
    return Document("best", {"by": by, "best": table, "count": count, "several": several})


def ranking(
    ranked: Sweep, configurations: Sequence[Configuration], metrics: Sequence[str] = (ACCURACY,)
) -> Table:
    """Return a table with one row for each configuration, in the order given."""
    metrics = list(dict.fromkeys([ranked.by, *metrics]))
    # Two keys share a heading if a part is absent from some configurations.
    columns = ("folder", "loss", *map(key_text, ranked.shown), "n")
    columns += tuple(map(show.metric_name, metrics))
    rows = [
        (
            configuration.group,
            configuration.loss,
            *(value_text(configuration.varied.get(key)) for key in ranked.shown),
            n_text(configuration.measured[ranked.by]),
            *(measured_text(metric, configuration.measured[metric]) for metric in metrics),
        )
        for configuration in configurations
    ]
    n = 2 + len(ranked.shown)
    # Where many keys were varied, the folder's name is shorter than their columns.
    names = range(1, n) if len(ranked.shown) <= _TERMINAL_KEYS else range(1)
    terminal = (*names, *range(n, min(n + 3, len(columns))))
    return Table(columns, tuple(rows), text_columns=n, terminal=terminal)


def best_text(ranked: Sweep, best: Configuration) -> str:
    """Return one line about the best configuration of a data set."""
    count = sum(each.dataset == best.dataset for each in ranked.configurations)
    measured = best.measured[ranked.by]
    of = f", of {count} configurations" if count > 1 else ""
    return (
        f"Best by {show.metric_name(ranked.by)}: {configuration_text(ranked, best, but='')} "
        f"({measured_text(ranked.by, measured)}, n = {n_text(measured)}{of})"
    )


def key_text(key: str) -> str:
    """Return the heading of a key: ``model`` for ``model._target_``, ``data`` for its data set."""
    return "data" if key == DATASET else key.removesuffix("._target_")


def value_text(value: Any) -> str:
    """Return a configuration's value as a cell; for a path to a class, the class name."""
    if value is None:
        return show.ABSENT
    if isinstance(value, str):
        return value.rsplit(".", 1)[-1] if value.startswith("losslab.") else value
    return f"{value:g}" if isinstance(value, float) else str(value)


def configuration_text(ranked: Sweep, configuration: Configuration, *, but: str = RATE) -> str:
    """Return the loss and the varied keys except ``but``: ``mse, model.width=8``."""
    varied = configuration.varied
    keys = [key for key in ranked.shown if key != but and varied.get(key) is not None]
    values = [f"{key_text(key)}={value_text(varied[key])}" for key in keys]
    return ", ".join([configuration.loss, *values])
