"""The tuning grid: what every arm reaches at every value, and which value is chosen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from losslab.report.load import Run
from losslab.report.plan import Plan, TuningRun
from losslab.report.samples import within_range
from losslab.report.statistics import Interval, t_interval


@dataclass(frozen=True)
class TuningPoint:
    """One arm at one value of the grid.

    Attributes:
        n: Runs that count, of ``planned``.
        mean: Of the validation accuracy over seeds; ``None`` if no run has one.
        interval: Student's t over seeds.
        diverged: How many of the n.
        score: What the choice goes by: the mean, −∞ when a run diverged before its first
            evaluation, ``None`` while a run is missing.
    """

    arm: str
    value: float
    planned: int
    n: int
    mean: float | None
    interval: Interval | None
    diverged: int
    score: float | None


@dataclass(frozen=True)
class Choice:
    """An arm's chosen value.

    Attributes:
        value: The one with the highest mean validation accuracy over the tuning seeds; of equal
            ones the smallest.
        mean: That mean.
        bracketed: Whether it lies strictly inside the arm's grid. If not, a better value may lie
            beyond the grid's edge.
    """

    value: float
    mean: float
    bracketed: bool


def tuning_points(plan: Plan, runs: Sequence[Run]) -> list[TuningPoint]:
    """Aggregate the grid over seeds, in the order of the arms, values ascending.

    Diverged runs count with their last accuracy.
    """
    by_name = {run.name: run for run in runs if run.finished}
    cells: dict[tuple[str, float], list[TuningRun]] = {}
    for planned in plan.tune:
        cells.setdefault((planned.arm, planned.value), []).append(planned)
    order = {arm: position for position, arm in enumerate(plan.arms)}
    return [
        _point(cell, [by_name[run.run] for run in planned if run.run in by_name], planned, plan)
        for cell, planned in sorted(cells.items(), key=lambda item: (order[item[0][0]], item[0][1]))
    ]


def _point(
    cell: tuple[str, float], runs: Sequence[Run], planned: Sequence[TuningRun], plan: Plan
) -> TuningPoint:
    arm, value = cell
    finals = [run.number(plan.select) for run in runs]
    values = np.array([final for final in finals if final is not None], dtype=np.float64)
    mean = float(values.mean()) if len(values) else None
    score: float | None = None
    if len(runs) == len(planned):
        score = mean if mean is not None and None not in finals else -math.inf
    return TuningPoint(
        arm=arm,
        value=value,
        planned=len(planned),
        n=len(runs),
        mean=mean,
        interval=within_range(t_interval(values), plan.select),
        diverged=sum(run.status == "diverged" for run in runs),
        score=score,
    )


def select(plan: Plan, runs: Sequence[Run]) -> dict[str, Choice]:
    """Choose every arm's value by its mean validation accuracy over the tuning seeds.

    An arm that lacks a tuning run (not started, failed, damaged) is absent, and so is one whose
    runs all diverged before their first evaluation.
    """
    chosen = {}
    points = tuning_points(plan, runs)
    for arm in plan.arms:
        mine = [point for point in points if point.arm == arm]
        # Means of the same numbers in another order differ in the last digit, and are ties.
        complete = [round(point.score, 12) for point in mine if point.score is not None]
        if not mine or len(complete) < len(mine) or max(complete) == -math.inf:
            continue
        best = complete.index(max(complete))
        chosen[arm] = Choice(
            value=mine[best].value,
            mean=complete[best],
            bracketed=0 < best < len(mine) - 1,
        )
    return chosen
