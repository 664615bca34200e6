"""The tuning grid: what every arm reaches at every value, and which value is chosen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from losslab.recording import Run
from losslab.report.estimates import within_range
from losslab.report.plan import Plan
from losslab.report.selectors import number
from losslab.report.statistics import Interval, t_interval


@dataclass(frozen=True)
class TuningPoint:
    """One arm at one value of the grid."""

    arm: str  # its name
    value: float  # of the parameter
    planned: int  # runs
    n: int  # runs that count
    mean: float | None  # of the validation accuracy over seeds; ``None`` if no run has one
    interval: Interval | None  # Student's t over seeds
    diverged: int  # how many of the n
    # what the choice goes by: the mean, −∞ when a run diverged before its first evaluation,
    # ``None`` while a run is missing
    score: float | None


@dataclass(frozen=True)
class Choice:
    """An arm's chosen value."""

    # the one with the highest mean validation accuracy over the tuning seeds; of equal ones the
    # smallest
    value: float
    mean: float  # that mean
    # whether it lies strictly inside the arm's grid. If not, a better value may lie beyond the
    # grid's edge
    bracketed: bool


def tuning_points(plan: Plan, runs: Sequence[Run]) -> list[TuningPoint]:
    """Average the grid over seeds, in the order of the arms, values ascending.

    Diverged runs count with their last accuracy.
    """
    finished = {run.name: run for run in runs if run.finished}
    grid = pd.DataFrame(plan.tune, columns=["arm", "value", "seed", "run", "rate"])
    points = [
        _point(str(arm), float(value), [finished.get(name) for name in names], plan.select)
        for (arm, value), names in grid.groupby(["arm", "value"])["run"]
    ]
    order = list(plan.arms)
    return sorted(points, key=lambda point: (order.index(point.arm), point.value))


def _point(arm: str, value: float, planned: Sequence[Run | None], select: str) -> TuningPoint:
    runs = [run for run in planned if run is not None]
    finals = [number(run, select) for run in runs]
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
        interval=within_range(t_interval(values), select),
        diverged=sum(run.status == "diverged" for run in runs),
        score=score,
    )


def select(points: Sequence[TuningPoint]) -> dict[str, Choice]:
    """Choose every arm's value by its mean validation accuracy over the tuning seeds.

    An arm that lacks a tuning run (not started, failed, damaged) is absent, and so is one whose
    runs all diverged before their first evaluation.
    """
    chosen = {}
    for arm in dict.fromkeys(point.arm for point in points):
        mine = [point for point in points if point.arm == arm]
        # Means of the same numbers in another order differ in the last digit, and are ties.
        complete = [round(point.score, 12) for point in mine if point.score is not None]
        if len(complete) < len(mine) or max(complete) == -math.inf:
            continue
        best = complete.index(max(complete))
        chosen[arm] = Choice(
            value=mine[best].value,
            mean=complete[best],
            bracketed=0 < best < len(mine) - 1,
        )
    return chosen
