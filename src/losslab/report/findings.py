"""All measurements of a report; its text, figures and data are made from these."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from losslab.figures import Drawing
from losslab.recording import Run, configuration_of
from losslab.report.claims import Judgement, judge
from losslab.report.estimates import Comparison, Measured, Sampler, compare, measure
from losslab.report.measurement import Evidence, Measurement
from losslab.report.plan import Claim, Plan, Rate, Side
from losslab.report.runs import DATASET, by_group, naming_keys, settings, varied_keys
from losslab.report.selectors import Goal
from losslab.report.selectors import direction as usual_direction
from losslab.report.shares import SHARES, shapley_shares
from losslab.report.tuning import Choice, SideSampler, TuningPoint, select, tuning_points
from losslab.report.universes import UNIVERSES, count_universes

ACCURACY = "test/accuracy"
PROPER_SCORES = ("test/nll", "test/brier", "test/ece")
METRICS = (ACCURACY, *PROPER_SCORES)
VALIDATION = "val/accuracy"
_NOT_ENVIRONMENT = {"command", "choices", "start", "end", "resumed_at_step"}


@dataclass(frozen=True)
class Census:
    """Runs by state."""

    expected: int  # how many are planned so far
    done: int  # how many are done
    diverged: tuple[str, ...]  # names
    failed: tuple[str, ...]  # names with reasons, as for damaged and running
    damaged: tuple[str, ...]  # runs whose files cannot be read
    running: tuple[str, ...]  # running or interrupted
    missing: tuple[str, ...]  # not started; names

    @property
    def complete(self) -> bool:
        """Whether every planned run has a result."""
        return self.expected == self.done + len(self.diverged)


@dataclass(frozen=True)
class Findings:
    """What a study found."""

    plan: Plan
    runs: Mapping[str, Run]  # planned runs that exist, by name
    tuning: tuple[TuningPoint, ...]  # the grid
    choices: Mapping[str, Choice]  # from the tuning runs so far
    measured: Mapping[tuple[str, Rate, str], Measured]  # by (arm, rate, metric)
    judgements: tuple[Judgement, ...]  # in the order of the plan's claims
    # each other arm's test accuracy less the reference's, at their own values
    gaps: Mapping[str, Comparison]
    # by arm, the share of draws of the tuning seeds that choose the same value
    rechosen: Mapping[str, float]
    census: Census  # of the planned runs
    environment: Mapping[str, tuple[str, ...]]  # manifest key to the distinct values of the runs
    # what the study's measures returned, by name
    measurements: Mapping[str, Measurement] = field(default_factory=dict)

    @property
    def differences(self) -> tuple[Judgement, ...]:
        """The claims about differences between sides."""
        return tuple(judgement for judgement in self.judgements if judgement.claim.sides)

    @property
    def quantities(self) -> tuple[Judgement, ...]:
        """The claims about single quantities."""
        return tuple(judgement for judgement in self.judgements if not judgement.claim.sides)

    @property
    def drawings(self) -> list[Drawing]:
        """The figures that measures returned."""
        return [drawing for each in self.measurements.values() for drawing in each.drawings]

    def chosen(self, arm: str) -> float | None:
        """Return the value an arm's confirming runs use, or will use."""
        if arm in self.plan.chosen:
            return self.plan.chosen[arm]
        return self.choices[arm].value if arm in self.choices else None

    def at_edge(self, claim: Claim) -> tuple[str, ...]:
        """Return the arms of a claim whose chosen value lies at the edge of their grid."""
        arms = {
            side.arm if side.rate == "own" else self.plan.reference_of(side.arm)
            for side in claim.sides
        }
        edges = {arm for arm, choice in self.choices.items() if not choice.bracketed}
        return tuple(arm for arm in self.plan.arms if arm in arms & edges)


def find(plan: Plan, runs: Sequence[Run], evidence: Evidence | None = None) -> Findings:
    """Measure everything that the report of a study needs."""
    evidence = evidence or Evidence()
    measurements = dict(evidence.measurements)
    sampler = SideSampler(runs, plan)
    expected = plan.expected()
    planned = {run.name: run for run in runs if run.name in set(expected)}
    points = tuning_points(plan, runs)
    if plan.factorials:
        measurements[SHARES] = shapley_shares(plan, partial(sampler.side, metric=ACCURACY))
    gaps = _gaps(plan, sampler)
    if plan.choices:
        measurements[UNIVERSES] = count_universes(plan, gaps)
    manifests = [run.manifest for run in planned.values()] if plan.arms else [evidence.manifest]
    return Findings(
        plan=plan,
        runs=planned,
        tuning=tuple(points),
        choices=select(points, plan.tolerance),
        measured={
            (arm, rate, metric): measure(sampler.side(Side(arm, rate), metric))
            for arm in plan.arms
            for rate in plan.rates
            for metric in metrics_at(rate)
        },
        judgements=judge(plan, sampler, Evidence(measurements)),
        gaps=gaps,
        rechosen=sampler.rechosen(),
        census=take_census(expected, planned),
        environment=environment(manifests),
        measurements=measurements,
    )


def metrics_at(rate: Rate) -> tuple[str, ...]:
    """Return the metrics that are measured of an arm at a rate."""
    return METRICS if rate == "own" else (ACCURACY,)


def _gaps(plan: Plan, sampler: SideSampler) -> dict[str, Comparison]:
    """Compare every arm with the reference under the same condition, each at its own value."""
    if "own" not in plan.rates:
        return {}
    samples = {arm: sampler.side(Side(arm, "own"), ACCURACY) for arm in plan.arms}
    gaps = {
        arm: compare(sample, samples[plan.reference_of(arm)])
        for arm, sample in samples.items()
        if arm != plan.reference_of(arm)
    }
    return {arm: gap for arm, gap in gaps.items() if gap}


@dataclass(frozen=True)
class Configuration:
    """All seeds of one configuration of a sweep."""

    group: str  # the folder's name
    loss: str  # the config name of its loss
    dataset: str  # empty if its configuration cannot be read
    # the keys that differ between configurations, and their values
    varied: Mapping[str, Any]
    measured: Mapping[str, Measured]  # by metric
    # for ranking, higher is better: the mean over finished runs, negated to minimise; −∞ without a
    # finished run, or if one lacks the metric
    score: float
    path: Path  # its folder


@dataclass(frozen=True)
class Sweep:
    """The configurations of a folder of runs without a plan."""

    # by data set, the best first; ties by loss, then by varied values
    configurations: tuple[Configuration, ...]
    by: str  # the metric by which they are sorted
    varied: tuple[str, ...]  # the keys that differ between configurations
    shown: tuple[str, ...]  # those with a column: not what the name of a loss implies
    census: Census
    environment: Mapping[str, tuple[str, ...]]  # manifest key to the distinct values of the runs

    @property
    def best(self) -> tuple[Configuration, ...]:
        """The best configuration of each loss on each data set, the best of all losses first."""
        best: dict[tuple[str, str], Configuration] = {}
        for configuration in self.configurations:
            if configuration.score > -math.inf:
                best.setdefault((configuration.dataset, configuration.loss), configuration)
        return tuple(best.values())

    @property
    def leaders(self) -> tuple[Configuration, ...]:
        """The best configuration on each data set."""
        leaders: dict[str, Configuration] = {}
        for configuration in self.best:
            leaders.setdefault(configuration.dataset, configuration)
        return tuple(leaders.values())


def sweep(
    runs: Sequence[Run],
    *,
    by: str = VALIDATION,
    direction: Goal | None = None,
    metrics: Sequence[str] = METRICS,
    unstarted: Sequence[str] = (),
) -> Sweep:
    """Group runs by configuration, measure each over its seeds, and sort by the metric ``by``.

    Numbers of different data sets do not compare, so each data set is sorted by itself.
    ``direction`` defaults to the usual one of the metric; ``metrics`` are measured as well, and
    ``unstarted`` configurations counted as missing.
    """
    direction = direction or usual_direction(by) or "maximize"
    groups = by_group(runs)
    readable = {run.group: run for run in reversed(runs) if run.config}
    described = settings(list(readable.values()))
    configs: dict[str, dict[str, Any]] = {group: {} for group in groups}
    configs |= zip(readable, described, strict=True)
    varied = varied_keys([config for config in configs.values() if config])
    configurations = []
    for group, members in groups.items():
        # One sampler each: the predictions of thousands of runs do not fit into memory.
        sampler, names = Sampler(members), tuple(run.name for run in members)
        measured = {metric: measure(sampler.sample(names, metric)) for metric in (by, *metrics)}
        configuration = Configuration(
            group=group,
            loss=members[0].loss,
            dataset=str(configs[group].get(DATASET, "")),
            varied={key: configs[group][key] for key in varied if key in configs[group]},
            measured=measured,
            score=_score(measured[by], direction),
            path=configuration_of(members[0].path),
        )
        configurations.append(configuration)
    by_name = {run.name: run for run in runs}
    configurations.sort(key=lambda each: (each.dataset, -each.score, *by_loss(each)))
    return Sweep(
        configurations=tuple(configurations),
        by=by,
        varied=varied,
        shown=naming_keys([c.loss for c in configurations], [c.varied for c in configurations]),
        census=take_census([*sorted(by_name), *unstarted], by_name),
        environment=environment([run.manifest for run in runs]),
    )


def _score(measured: Measured, direction: Goal) -> float:
    if measured.without or measured.estimate is None:
        return -math.inf
    # Summed in another order, equal means differ in the last digit.
    mean = round(measured.estimate.mean, 12)
    return mean if direction == "maximize" else -mean


def by_loss(configuration: Configuration) -> tuple[Any, ...]:
    """Return the sort key of a configuration: its loss, then its varied values."""
    values = configuration.varied.values()
    numbers_first = (
        (0, value, "") if isinstance(value, int | float) else (1, 0, str(value)) for value in values
    )
    return (configuration.loss, *numbers_first)


def take_census(expected: Sequence[str], runs: Mapping[str, Run]) -> Census:
    """Sort the planned runs by state."""

    def named(status: str) -> tuple[str, ...]:
        members = [runs[name] for name in expected if name in runs and runs[name].status == status]
        return tuple(f"{run.name}: {run.reason}" if run.reason else run.name for run in members)

    states = {status: named(status) for status in ("diverged", "failed", "damaged", "running")}
    missing = tuple(name for name in expected if name not in runs)
    return Census(expected=len(expected), done=len(named("done")), **states, missing=missing)


def environment(manifests: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return every manifest key with the distinct values of all runs, the most frequent first."""
    rows = [
        (key, {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value))
        for manifest in manifests
        for key, value in manifest.items()
        # Mappings and lists are part of the configuration, not of the machine.
        if key not in _NOT_ENVIRONMENT and not isinstance(value, Mapping | list)
    ]
    counts = pd.DataFrame(rows, columns=["key", "value"]).value_counts().reset_index()
    counts = counts.sort_values(["key", "count", "value"], ascending=[True, False, True])
    return {str(key): tuple(values) for key, values in counts.groupby("key")["value"]}
