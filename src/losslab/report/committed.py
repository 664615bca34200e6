"""Read a study's ``results.json``, and find where it contradicts itself or the study."""

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from pydantic import AliasChoices, Field
from scipy import special

from losslab.parsing import parse
from losslab.report.claims import RULE, Verdict, verdict
from losslab.report.plan import Claim, Plan, Rate, Side
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
    quantity: Any = None
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


@dataclass(frozen=True, kw_only=True)
class CommittedArm:
    """An arm in ``results.json``."""

    chosen: float | None = None  # value of the tuned parameter
    confirmed: dict[Rate, dict[str, Number]] = field(default_factory=dict)  # by rate, by metric


@dataclass(frozen=True, kw_only=True)
class Committed:
    """The parts of ``results.json`` that can be compared."""

    study: str
    command: str
    rule: str = ""  # by which claims were judged
    arms: dict[str, CommittedArm] = field(default_factory=dict)
    claims: tuple[CommittedClaim, ...] = ()

    def __post_init__(self) -> None:
        if self.words[:2] != ["losslab", "study"] or len(self.words) < 3:
            raise ValueError(f"{self.command!r} is not a study's command")

    @property
    def words(self) -> list[str]:
        """The words of its command."""
        return shlex.split(self.command)

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


def contradictions(committed: Committed, plan: Plan) -> Iterator[str]:
    """Yield one line for each inconsistency within ``results.json``, or between it and the plan."""
    for (arm, rate, metric), number in committed.numbers.items():
        if number.n < 1:
            continue
        point = f"{point_name(arm, rate)}, {metric}"
        if number.values and not _close(number.mean, float(np.mean(number.values)), number.mean):
            yield f"{point}: the mean is not that of the seeds' values"
        low, high = number.interval or (-math.inf, math.inf)
        if not low <= number.mean <= high:
            yield f"{point}: the mean is not in its interval"
    planned = {claim.id: claim for claim in plan.claims}
    for claim in committed.claims:
        if claim.id in planned and claim.measured:
            for fault in _faults(committed, claim, planned[claim.id], claim.measured):
                yield f"claim {claim.id}: {fault}"


def _faults(
    committed: Committed, claim: CommittedClaim, planned: Claim, measured: Number
) -> Iterator[str]:
    left, right = measured.left, measured.right
    if _definition(claim) != _definition(planned) or not left or not right:
        yield "it is not the study's claim of that name"
        return
    for side, number in zip(claim.sides, (left, right), strict=False):
        point = committed.numbers.get((side.arm, side.rate, claim.metric))
        if point and point.n == number.n and not _close(point.mean, number.mean, number.mean):
            yield f"{point_name(side.arm, side.rate)} has two means"
    scale = max(abs(left.mean), abs(right.mean))
    if measured.values and not _close(measured.mean, float(np.mean(measured.values)), scale):
        yield "the difference is not that of the seeds' values"
    if not claim.beyond and not _close(measured.mean, left.mean - right.mean, scale):
        yield "the difference is not that of its sides"
    if measured.interval is None or (claim.reason and claim.verdict == "inconclusive"):
        return
    p_holm = 1.0 if claim.p_holm is None else claim.p_holm
    p_needed = 0.0 if claim.direction == "equal" else p_holm
    # Older rules had no "smaller": such claims were contradicted.
    signed = planned.signed and committed.rule == RULE
    follows = verdict(planned.predicted, measured.interval, p_holm=p_needed, difference=signed)
    if follows != claim.verdict:
        yield f"{claim.verdict}, but {follows} by its interval and p"


def _definition(claim: CommittedClaim | Claim) -> tuple[Any, ...]:
    effect = f"{claim.smallest_effect:.{DIGITS}g}"
    return claim.metric, claim.sides, claim.direction, effect


def _close(one: float, other: float, scale: float) -> bool:
    # Each of up to three numbers is rounded: two sides and their difference.
    return abs(one - other) <= 3 * ROUNDING * abs(scale)


def point_name(arm: str, rate: str) -> str:
    """Return the name of a point, ``mse@two`` or ``mse@two:reference``."""
    return arm if rate == "own" else f"{arm}:{rate}"
