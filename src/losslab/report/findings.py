"""Everything that a study's report says, measured once; text, figures and data follow from it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from losslab.report.aggregate import Choice, TuningPoint, select, tuning_points
from losslab.report.claims import Judgement, judge
from losslab.report.load import Run
from losslab.report.plan import Claim, Plan, Rate, Side, Step
from losslab.report.samples import Comparison, Estimate, Sampler, compare, estimate

ACCURACY = "test/accuracy"
PROPER_SCORES = ("test/nll", "test/brier", "test/ece")
_NOT_ENVIRONMENT = {"command", "choices", "start", "end", "resumed_at_step"}


@dataclass(frozen=True)
class Measured:
    """One metric of one side.

    Attributes:
        estimate: ``None`` where no run has the metric.
        planned: Runs; 0 while the side's value is not chosen.
        diverged: How many of the finished runs.
        without: How many finished runs whose metric is not finite or not recorded.
    """

    estimate: Estimate | None
    planned: int
    diverged: int
    without: int


@dataclass(frozen=True)
class Census:
    """Runs by state.

    Attributes:
        expected: How many are planned so far.
        done: How many of them.
        diverged: Names.
        failed: Names with reasons, as all of the following.
        damaged: Their files cannot be read.
        running: Or interrupted.
        missing: Not started; names.
    """

    expected: int
    done: int
    diverged: tuple[str, ...]
    failed: tuple[str, ...]
    damaged: tuple[str, ...]
    running: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every planned run has a result."""
        return self.expected == self.done + len(self.diverged)


@dataclass(frozen=True)
class FoundStep:
    """One stop of a waterfall.

    Attributes:
        step: As planned.
        level: Test accuracy there.
        change: From the stop before; ``None`` for the first.
    """

    step: Step
    level: Estimate | None
    change: Comparison | None


@dataclass(frozen=True)
class Findings:
    """What a study found.

    Attributes:
        plan: What was planned.
        runs: By name, all that the plan names and that exist.
        tuning: The grid.
        choices: As chosen from the tuning runs that are there.
        measured: By (arm, rate, metric).
        judgements: In the order of the plan's claims.
        steps: Of the plan's waterfall.
        census: Of the planned runs.
        environment: Manifest key to the distinct values of the runs.
    """

    plan: Plan
    runs: Mapping[str, Run]
    tuning: tuple[TuningPoint, ...]
    choices: Mapping[str, Choice]
    measured: Mapping[tuple[str, Rate, str], Measured]
    judgements: tuple[Judgement, ...]
    steps: tuple[FoundStep, ...]
    census: Census
    environment: Mapping[str, tuple[str, ...]]

    def chosen(self, arm: str) -> float | None:
        """Return the value an arm's confirming runs use, or will use."""
        if arm in self.plan.chosen:
            return self.plan.chosen[arm]
        return self.choices[arm].value if arm in self.choices else None

    def at_edge(self, claim: Claim) -> tuple[str, ...]:
        """Return the arms whose value a claim rests on and whose grid does not bracket it."""
        arms = {
            side.arm if side.rate == "own" else self.plan.reference_of(side.arm)
            for side in claim.sides
        }
        return tuple(
            arm
            for arm in self.plan.arms
            if arm in arms and arm in self.choices and not self.choices[arm].bracketed
        )

    def at(self, condition: str) -> "Findings":
        """Return what was found under one condition, as of a study without conditions."""
        plan = self.plan.at(condition)
        return replace(
            self,
            plan=plan,
            tuning=tuple(point for point in self.tuning if point.arm in plan.arms),
            judgements=(),
        )


def find(plan: Plan, runs: Sequence[Run]) -> Findings:
    """Measure all that a study's runs can tell."""
    sampler = Sampler(runs)
    expected = plan.expected()
    planned = {run.name: run for run in runs if run.name in set(expected)}
    measured = {
        (arm, rate, metric): _measure(plan, planned, sampler, Side(arm, rate), metric)
        for arm in plan.arms
        for rate in plan.rates
        for metric in _METRICS[rate]
    }
    return Findings(
        plan=plan,
        runs=planned,
        tuning=tuple(tuning_points(plan, runs)),
        choices=select(plan, runs),
        measured=measured,
        judgements=tuple(judge(plan, sampler)),
        steps=_walk(plan, sampler),
        census=take_census(expected, planned),
        environment=environment(list(planned.values())),
    )


_METRICS: dict[Rate, tuple[str, ...]] = {
    "reference": (ACCURACY,),
    "scaled": (ACCURACY,),
    "own": (ACCURACY, *PROPER_SCORES),
}


def _measure(
    plan: Plan, runs: Mapping[str, Run], sampler: Sampler, side: Side, metric: str
) -> Measured:
    names = tuple(run.run for run in plan.confirming(side))
    sample = sampler.sample(names, metric)
    return Measured(
        estimate=estimate(sample),
        planned=len(names),
        diverged=sum(name in runs and runs[name].status == "diverged" for name in names),
        without=len(sample.without),
    )


def _walk(plan: Plan, sampler: Sampler) -> tuple[FoundStep, ...]:
    samples = [
        sampler.sample(tuple(run.run for run in plan.confirming(step.side)), ACCURACY)
        for step in plan.steps
    ]
    changes = [None, *(compare(after, before) for before, after in pairwise(samples))]
    return tuple(
        FoundStep(step, estimate(sample), change)
        for step, sample, change in zip(plan.steps, samples, changes[: len(samples)], strict=True)
    )


def take_census(expected: Sequence[str], runs: Mapping[str, Run]) -> Census:
    """Sort the planned runs by state."""

    def named(status: str) -> tuple[str, ...]:
        found = [runs[name] for name in expected if name in runs and runs[name].status == status]
        return tuple(f"{run.name}: {run.reason}" if run.reason else run.name for run in found)

    return Census(
        expected=len(expected),
        done=len(named("done")),
        diverged=named("diverged"),
        failed=named("failed"),
        damaged=named("damaged"),
        running=named("running"),
        missing=tuple(name for name in expected if name not in runs),
    )


def environment(runs: Sequence[Run]) -> dict[str, tuple[str, ...]]:
    """Return every manifest key with the distinct values of all runs, the most frequent first."""
    values: dict[str, Counter[str]] = {}
    for run in runs:
        for key, value in run.manifest.items():
            # What a run chose and was told is its config; its machine is plain values.
            if key not in _NOT_ENVIRONMENT and not isinstance(value, Mapping | list):
                values.setdefault(key, Counter())[_text(value)] += 1
    return {
        key: tuple(sorted(counter, key=lambda text: (-counter[text], text)))
        for key, counter in sorted(values.items())
    }


def _text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
