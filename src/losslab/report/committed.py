"""Read a study's ``results.json``, and find where it contradicts itself or the study."""

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Annotated, Any

import numpy as np
from pydantic import AliasChoices, AliasPath, Field
from scipy import special

from losslab.metrics import RANGES
from losslab.parsing import parse
from losslab.report import formatting as show
from losslab.report.claims import RULE, Verdict, verdict
from losslab.report.findings import metrics_at
from losslab.report.plan import Claim, Plan, Rate, Side
from losslab.report.results import DIGITS
from losslab.report.statistics import (
    LEVEL,
    RANDOM_FLIPS,
    FloatArray,
    Interval,
    holm,
    noise_of,
)

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
    # for a quantity:
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

    chosen: float | None = None  # value of the tuned parameter
    confirmed: dict[Rate, dict[str, Number]] = field(default_factory=dict)  # by rate, by metric


@dataclass(frozen=True, kw_only=True)
class Committed:
    """The parts of ``results.json`` that can be compared."""

    study: str
    command: str
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
    # Both sides of a claim may have the same fault.
    yield from dict.fromkeys(_contradictions(committed, plan))


def _contradictions(committed: Committed, plan: Plan) -> Iterator[str]:
    yield from _missing(committed, plan)
    for name, arm in committed.arms.items():
        if arm.chosen is not None and not math.isfinite(arm.chosen):
            yield f"{name}: chosen={arm.chosen} is not a number"
    for (name, rate, metric), number in committed.numbers.items():
        if number.n < 1:
            continue
        for fault in _faults_of_number(number, metric):
            yield f"{point_name(name, rate)}, {metric}: {fault}"
    planned = {claim.id: claim for claim in plan.claims}
    for claim in committed.claims:
        if claim.id in planned:
            for fault in _faults(committed, claim, planned[claim.id]):
                yield f"claim {claim.id}: {fault}"
    if sorted(claim.id for claim in committed.claims) == sorted(planned):
        yield from _faults_of_family(committed)


def _missing(committed: Committed, plan: Plan) -> Iterator[str]:
    """Yield what is there twice, and what only the plan or only the results have."""
    ids, planned = [claim.id for claim in committed.claims], [claim.id for claim in plan.claims]
    for name in sorted({name for name in ids if ids.count(name) > 1}):
        yield f"claim {name} is there {ids.count(name)} times"
    for name in (name for name in ids if name not in planned):
        yield f"claim {name} is not one of the study's"
    if not committed.complete:
        return
    for name in (name for name in planned if name not in ids):
        yield f"claim {name} is missing"
    for name in (name for name in committed.arms if committed.arms[name].chosen is None):
        yield f"{name}: the chosen value is missing"
    for name, rate in product(plan.arms, plan.rates):
        for metric in metrics_at(rate):
            number = committed.numbers.get((name, rate, metric))
            # Only arms with a factor are confirmed at the rate "scaled".
            empty = number and not number.n and not number.not_finite and rate != "scaled"
            if number is None or empty:
                yield f"{point_name(name, rate)}, {metric} is missing"


def _faults(committed: Committed, claim: CommittedClaim, planned: Claim) -> Iterator[str]:
    if planned.quantity:
        number = claim.number
        if claim.sides or (
            claim.predicted and claim.predicted != show.predicted(planned.predicted)
        ):
            yield "it is not the study's claim of that name"
            return
    else:
        number = claim.measured
        if _definition(claim) != _definition(planned):
            yield "it is not the study's claim of that name"
            return
        if claim.statement and claim.statement != planned.statement:
            yield "its statement is not the study's"
        if claim.measured:
            yield from _faults_of_difference(committed, claim, claim.measured)
    if number is None:
        if claim.verdict not in ("inconclusive", "untestable"):
            yield f"{claim.verdict}, but its number is missing"
        return
    unjudged = claim.reason and claim.verdict in ("inconclusive", "untestable")
    if number.interval is None or unjudged:
        return
    p_holm = 1.0 if claim.p_holm is None else claim.p_holm
    exact = planned.quantity and claim.p is None
    p_needed = 0.0 if claim.direction == "equal" or exact else p_holm
    # Older rules had no "smaller": such claims were contradicted.
    signed = planned.signed and committed.rule == RULE
    follows = verdict(planned.predicted, number.interval, p_holm=p_needed, difference=signed)
    if follows != claim.verdict:
        yield f"{claim.verdict}, but {follows} by its interval and p"


def _faults_of_difference(
    committed: Committed, claim: CommittedClaim, measured: Number
) -> Iterator[str]:
    left, right = measured.left, measured.right
    if not left or not right:
        yield "its sides are missing"
        return
    for side, number in zip(claim.sides, (left, right), strict=False):
        name = point_name(side.arm, side.rate)
        point = committed.numbers.get((side.arm, side.rate, claim.metric))
        if point and point.n == number.n and not _close(point.mean, number.mean, number.mean):
            yield f"{name} has two means"
        for fault in _faults_of_number(number, claim.metric):
            yield f"{name}: {fault}"
    scale = max(abs(left.mean), abs(right.mean))
    yield from _faults_of_number(measured, name="difference", scale=scale)
    if not claim.beyond and not _close(measured.mean, left.mean - right.mean, scale):
        yield "the difference is not that of its sides"
    if measured.p is not None and 1 < measured.n == len(measured.values):
        low, high = _sign_flip_range(np.array(measured.values))
        if not low <= measured.p <= high:
            yield "p is not that of the seeds' values"


def _faults_of_number(
    number: Number, metric: str = "", *, name: str = "mean", scale: float | None = None
) -> Iterator[str]:
    """Yield how a number contradicts its own seeds, or the range of its metric, if it has one."""
    values, mean = number.values, number.mean
    if values and number.n != len(values):
        yield f"n is {number.n}, but there are {len(values)} seeds"
    if values and not _close(mean, float(np.mean(values)), mean if scale is None else scale):
        yield f"the {name} is not that of the seeds' values"
    lowest, highest = RANGES.get(metric.partition("/")[2], (-math.inf, math.inf))
    if not all(lowest <= value <= highest for value in (mean, *values)):
        yield f"a value is not between {lowest:g} and {highest:g}"
    if number.interval is None:
        return
    low, high = number.interval
    if not low <= mean <= high:
        yield f"the {name} is not in its interval"
    if 1 < number.n == len(values):
        # More sources of noise add to the variance, but also to the degrees of freedom, of which
        # infinitely many make the interval narrowest.
        freedom = number.n - 1 if number.covers == "seeds" else math.inf
        quantile = float(special.stdtrit(freedom, (1 + LEVEL) / 2))
        half = quantile * math.sqrt(noise_of(np.array(values)).variance)
        narrowest = Interval(max(mean - half, lowest), min(mean + half, highest))
        rounding = 3 * ROUNDING * quantile * max(map(abs, (mean, low, high, *values)))
        if low > narrowest.low + rounding or high < narrowest.high - rounding:
            yield "the interval is narrower than the noise of the seeds"


def _sign_flip_range(differences: FloatArray) -> Interval:
    """Return the range of :func:`sign_flip_p`, as rounding makes and breaks ties.

    With its own random choices of signs where there are too many to try all, so that the range
    holds the noise of two estimates.
    """
    n = len(differences)
    if exact := 2**n <= RANDOM_FLIPS:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    else:
        signs = np.random.default_rng(0).choice([-1, 1], (RANDOM_FLIPS, n))
    sums, measured = np.abs(signs @ differences), abs(differences.sum())
    rounding = 2 * ROUNDING * float(np.abs(differences).sum())
    # The signs as they are and all of them switched are always ties.
    low = float(np.mean(sums > measured + rounding)) + 2 / 2**n
    high = float(np.mean(sums >= measured - rounding))
    noise = 0.0 if exact else 7 * math.sqrt(max(high, 1 / RANDOM_FLIPS) / RANDOM_FLIPS)
    return Interval(low - noise - ROUNDING, high + noise + ROUNDING)


def _faults_of_family(committed: Committed) -> Iterator[str]:
    """Yield the claims whose corrected p does not follow from the p-values of all claims."""
    # Numbers that are computed rather than sampled have no p and are not tested.
    tested = [
        claim for claim in committed.claims if claim.sides or claim.p is not None or not claim.n
    ]
    p_values = [claim.p if claim.verdict != "untestable" else None for claim in tested]
    unknown = any(claim.measured and claim.p is None for claim in tested)
    if committed.rule != RULE or unknown:
        return
    for claim, p_holm in zip(tested, holm(p_values), strict=True):
        if p_holm is None or claim.p_holm is None:
            right = p_holm is claim.p_holm
        else:
            right = _close(claim.p_holm, p_holm, p_holm)
        if not right:
            yield f"claim {claim.id}: Holm's p does not follow from the p of all claims"


def _definition(claim: CommittedClaim | Claim) -> tuple[Any, ...]:
    effect = f"{claim.smallest_effect:.{DIGITS}g}"
    return claim.metric, claim.sides, claim.direction, effect


def _close(one: float, other: float, scale: float) -> bool:
    # Each of up to three numbers is rounded: two sides and their difference.
    return abs(one - other) <= 3 * ROUNDING * abs(scale)


def point_name(arm: str, rate: str) -> str:
    """Return the name of a point, ``mse@two`` or ``mse@two:reference``."""
    return arm if rate == "own" else f"{arm}:{rate}"
