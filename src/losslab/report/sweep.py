"""A plain sweep: runs without a plan, one row a configuration, averaged over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from losslab.report.findings import Census, Measured, environment, take_census
from losslab.report.load import Run
from losslab.report.samples import Sampler, estimate

METRICS = ("test/accuracy", "test/nll", "test/brier", "test/ece")
RATE = "optimizer.lr"


@dataclass(frozen=True)
class Configuration:
    """All seeds of one configuration.

    Attributes:
        group: The folder's name.
        loss: The config name of its loss, with which the folder's name begins.
        varied: Those keys of the config that differ between configurations, and their values.
        measured: By metric.
    """

    group: str
    loss: str
    varied: Mapping[str, Any]
    measured: Mapping[str, Measured]


@dataclass(frozen=True)
class Sweep:
    """What a folder of runs holds.

    Attributes:
        configurations: By loss, then by what was varied, numbers by size.
        varied: The keys that differ between configurations.
        shown: Those of them worth a column: not what a loss's name already settles.
        census: Of the runs that are there.
        environment: Manifest key to the distinct values of the runs.
    """

    configurations: tuple[Configuration, ...]
    varied: tuple[str, ...]
    shown: tuple[str, ...]
    census: Census
    environment: Mapping[str, tuple[str, ...]]


def sweep(runs: Sequence[Run]) -> Sweep:
    """Group runs by configuration and measure each on its seeds."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.group, []).append(run)
    configs = {
        group: next((flatten(run.config) for run in members if run.config), {})
        for group, members in groups.items()
    }
    varied = varied_keys([config for config in configs.values() if config])
    configurations = tuple(
        Configuration(
            group=group,
            loss=group.rsplit("/", 1)[-1].split("-")[0],
            varied={key: configs[group][key] for key in varied if key in configs[group]},
            measured=_measure(members),
        )
        for group, members in groups.items()
    )
    by_name = {run.name: run for run in runs}
    return Sweep(
        configurations=tuple(sorted(configurations, key=_order)),
        varied=varied,
        shown=tuple(
            key for key in varied if not key.startswith("loss.") or _differs(configurations, key)
        ),
        census=take_census(sorted(by_name), by_name),
        environment=environment(runs),
    )


def _order(configuration: Configuration) -> tuple[Any, ...]:
    values = configuration.varied.values()
    number = (int, float)
    return (
        configuration.loss,
        *((0, value, "") if isinstance(value, number) else (1, 0, str(value)) for value in values),
    )


def _differs(configurations: Sequence[Configuration], key: str) -> bool:
    """Return whether a key differs between configurations of the same loss."""
    values: dict[str, set[str]] = {}
    for configuration in configurations:
        values.setdefault(configuration.loss, set()).add(repr(configuration.varied.get(key)))
    return any(len(different) > 1 for different in values.values())


def _measure(runs: Sequence[Run]) -> dict[str, Measured]:
    # A sampler of its own, as the predictions of thousands of runs fill a memory.
    sampler, names = Sampler(runs), tuple(run.name for run in runs)
    return {
        metric: Measured(
            estimate=estimate(sample),
            planned=len(runs),
            diverged=sum(run.status == "diverged" for run in runs),
            without=len(sample.without),
        )
        for metric in METRICS
        for sample in [sampler.sample(names, metric)]
    }


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested keys joined by dots; a list is one value.

    >>> flatten({"optimizer": {"lr": 0.1}, "seed": 0})
    {'optimizer.lr': 0.1, 'seed': 0}
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def varied_keys(configs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the keys whose values differ, but for the seed, sorted.

    >>> varied_keys([{"optimizer.lr": 0.1, "seed": 0}, {"optimizer.lr": 0.3, "seed": 0}])
    ('optimizer.lr',)
    """
    keys = sorted(set().union(*configs)) if configs else []
    absent = object()
    varied = tuple(
        key
        for key in keys
        if key not in _NOT_VARIED
        and any(config.get(key, absent) != configs[0].get(key, absent) for config in configs)
    )
    # The checksum of the data tells something only where all else is the same.
    others = tuple(key for key in varied if key != "data_sha256")
    told = {repr([config.get(key, absent) for key in others]) for config in configs}
    return others if len(told) == len(configs) else varied


_NOT_VARIED = {"seed", "name", "init_sha256"}
