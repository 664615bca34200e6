"""Read a study's ``results.json``."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from pydantic import AliasChoices, AliasPath, Field
from scipy import special

from losslab.parsing import parse
from losslab.report import formatting as show
from losslab.report.claims import Verdict
from losslab.report.plan import Rate, Side
from losslab.report.results import DIGITS
from losslab.report.statistics import LEVEL, Interval

ROUNDING = 5 * 10.0**-DIGITS
"""Relative rounding error in ``results.json``: half a unit in the last digit of 1.00000."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """A mean over seeds, or of the difference of two sides, in ``results.json``."""

    n: int = 0
    mean: Annotated[float, Field(validation_alias=AliasChoices("mean", "difference"))] = math.nan
    interval: Interval | None = None
    covers: str = ""
    by_seed: dict[int, float] = field(default_factory=dict)
    not_finite: int = 0  # number of runs without the metric
    p: float | None = None  # of a difference, uncorrected
    left: "Number | None" = None  # the sides of a difference
    right: "Number | None" = None

    @property
    def values(self) -> tuple[float, ...]:
        """The values of single seeds, or the differences of pairs."""
        return tuple(self.by_seed.values())

    @property
    def variance(self) -> float | None:
        """The variance of single seeds, ``None`` if it is unknown."""
        if self.n < 2:
            return None
        if len(self.values) == self.n:
            return float(np.var(self.values, ddof=1))
        if self.interval is None:
            return None
        # The interval may be clipped on one side.
        half = max(self.mean - self.interval.low, self.interval.high - self.mean)
        # If it covers test examples, its degrees of freedom are unknown; infinity is conservative.
        freedom = self.n - 1 if self.covers == "seeds" else math.inf
        error = half / float(special.stdtrit(freedom, (1 + LEVEL) / 2))
        return self.n * error**2


@dataclass(frozen=True, kw_only=True)
class CommittedClaim:
    """A claim in ``results.json``."""

    id: str
    verdict: Verdict
    statement: str = ""
    source: str = ""
    effect: str = ""  # the number with its interval, in words
    at_edge: tuple[str, ...] = ()  # arms whose best value is at the edge of its grid
    # for a quantity:
    what: str = ""  # its description
    predicted: str = ""  # the range in words
    n: int | None = None  # number of seeds or cases; ``None`` if it was not measured
    value: float | None = None
    low: float | None = None
    high: float | None = None
    own_p: Annotated[float | None, Field(validation_alias="p")] = None
    # for a difference:
    metric: str = ""
    left: Side | None = None
    right: Side | None = None
    beyond: tuple[Side, ...] = ()
    direction: str | None = None
    smallest_effect: float = 0.0
    measured: Number | None = None
    p_holm: float | None = None
    reason: str = ""

    @property
    def sides(self) -> tuple[Side, ...]:
        """Its two or four sides; none for a claim about a quantity."""
        return tuple(side for side in (self.left, self.right, *self.beyond) if side)

    @property
    def prediction(self) -> str:
        """What it predicts, in words."""
        if self.direction is None:
            return self.predicted
        return show.predicted_difference(self.metric, self.direction, self.smallest_effect)

    @property
    def p(self) -> float | None:
        """Its uncorrected p-value, ``None`` without a test."""
        return self.measured.p if self.measured else self.own_p

    @property
    def number(self) -> Number | None:
        """The quantity, ``None`` if it was not measured, or is not finite."""
        if self.n is None or self.value is None:
            return None
        exact = Interval(self.value, self.value)
        low, high = exact if self.p is None else (self.low, self.high)
        interval = None if low is None or high is None else Interval(low, high)
        return Number(n=self.n, mean=self.value, interval=interval)


@dataclass(frozen=True, kw_only=True)
class CommittedArm:
    """An arm in ``results.json``."""

    label: str = ""
    chosen: float | None = None  # value of the tuned parameter
    confirmed: dict[Rate, dict[str, Number]] = field(default_factory=dict)  # by rate, by metric


@dataclass(frozen=True, kw_only=True)
class Committed:
    """The parts of ``results.json`` that are shown on pages or compared."""

    study: str
    command: str
    title: str = ""
    question: str = ""
    rule: str = ""  # by which claims were judged
    # whether every planned run had a result
    complete: Annotated[bool, Field(validation_alias=AliasPath("runs", "complete"))] = True
    arms: dict[str, CommittedArm] = field(default_factory=dict)
    claims: tuple[CommittedClaim, ...] = ()

    def __post_init__(self) -> None:
        if self.words[:2] != ["losslab", "study"] or len(self.words) < 3:
            raise ValueError(f"{self.command!r} is not a study's command")

    @property
    def words(self) -> list[str]:
        """The words of its command."""
        return shlex.split(self.command)

    def compared(self, claim: CommittedClaim) -> str:
        """Return what a claim compares or measures, in words."""
        if claim.direction is None:
            return claim.what
        text = show.compared(claim.metric, claim.sides, lambda arm: self.arms[arm].label)
        return text.replace(" (own)", "")

    @property
    def numbers(self) -> dict[tuple[str, Rate, str], Number]:
        """The confirmed means by arm, rate and metric."""
        return {
            (name, rate, metric): number
            for name, arm in self.arms.items()
            for rate, numbers in arm.confirmed.items()
            for metric, number in numbers.items()
        }

    @property
    def seeds(self) -> set[int]:
        """All confirming seeds."""
        return {seed for number in self.numbers.values() for seed in number.by_seed}


def parse_results(data: Mapping[str, Any]) -> Committed:
    """Parse the content of ``results.json``; ``ValueError`` if it is invalid."""
    return parse(Committed, data, "results")


def point_name(arm: str, rate: str) -> str:
    """Return the name of a point, ``mse@two`` or ``mse@two:reference``."""
    return arm if rate == "own" else f"{arm}:{rate}"
