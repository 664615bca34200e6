"""Find where a study's ``results.json`` contradicts itself or the study."""

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from scipy import special

from losslab.metrics import RANGES
from losslab.report import formatting as show
from losslab.report.claims import RULE, verdict
from losslab.report.committed import ROUNDING, Committed, CommittedClaim, Number, point_name
from losslab.report.findings import metrics_at
from losslab.report.plan import Claim, Plan
from losslab.report.results import DIGITS
from losslab.report.statistics import LEVEL, RANDOM_FLIPS, FloatArray, Interval, holm, noise_of


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
    """Yield what appears twice, and what only the plan or only the results have."""
    ids, planned = [claim.id for claim in committed.claims], [claim.id for claim in plan.claims]
    for name in sorted({name for name in ids if ids.count(name) > 1}):
        yield f"claim {name} appears {ids.count(name)} times"
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
            yield "it differs from the study's claim of that name"
            return
    else:
        number = claim.measured
        if _definition(claim) != _definition(planned):
            yield "it differs from the study's claim of that name"
            return
        if claim.statement and claim.statement != planned.statement:
            yield "its statement differs from the study's"
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
        yield "the difference does not match its sides"
    if measured.p is not None and 1 < measured.n == len(measured.values):
        low, high = _sign_flip_range(np.array(measured.values))
        if not low <= measured.p <= high:
            yield "p does not match the seeds' values"


def _faults_of_number(
    number: Number, metric: str = "", *, name: str = "mean", scale: float | None = None
) -> Iterator[str]:
    """Yield how a number contradicts its own seeds, or the range of its metric, if it has one."""
    values, mean = number.values, number.mean
    if values and number.n != len(values):
        yield f"n is {number.n}, but there are {len(values)} seeds"
    if values and not _close(mean, float(np.mean(values)), mean if scale is None else scale):
        yield f"the {name} does not match the seeds' values"
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
