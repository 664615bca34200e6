"""Measures of the study ``throughput``: seconds, in turn in one process, and their ratios."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from scipy import stats

from losslab.experiment import Composer, choices_of, perform, plan_run, stacks
from losslab.experiment.compose import without_hydra
from losslab.recording import Run
from losslab.report.measurement import Quantity
from losslab.report.statistics import t_interval

Seconds = dict[str, list[float]]
"""Contestant to its seconds, one a round."""


def in_turn(contestants: Mapping[str, Callable[[], object]], rounds: int) -> Seconds:
    """Time contestants one after another, round by round, after one that is not counted.

    So a machine that slows down slows all of them, and their ratio round by round holds.
    """
    seconds: Seconds = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, contestant in contestants.items():
            started = _now()
            contestant()
            if number:  # the first compiles and fills caches
                seconds[name].append(_now() - started)
    return seconds


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def median(values: Sequence[float], what: str) -> Quantity:
    """Return the median of one number a round, with its 95% interval of order statistics.

    Fewer than six rounds have none that is so sure; theirs is Student's t interval of the mean, and
    a single one's is the whole line.
    """
    low, high = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
    if math.isnan(low) or math.isnan(high):
        low, high = t_interval(np.array(values)) or (-math.inf, math.inf)
    return Quantity(
        value=statistics.median(values), low=float(low), high=float(high), n=len(values), what=what
    )


def ratio(seconds: Seconds, slow: str, fast: str, what: str = "") -> Quantity:
    """Return how many times as long one contestant takes as another, round by round."""
    pairs = zip(seconds[slow], seconds[fast], strict=True)
    what = what or f"speed of {fast} over that of {slow}"
    return median([a / b for a, b in pairs], what)


def planned(composer: Composer, words: Sequence[str]) -> Run:
    """Return a planned run of the words of a command."""
    full = composer.vary(words)
    return plan_run(without_hydra(full), choices_of(full.hydra), "losslab study throughput")


def recorded(runs: Sequence[Run]) -> None:
    """Do runs as a sweep does."""
    for together in stacks(runs):
        if not set(perform(together)) <= {"done", "diverged"}:
            raise ValueError("a run failed; see its log.txt")
