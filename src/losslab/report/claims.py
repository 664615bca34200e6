"""Judge claims, by one rule for all studies."""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, get_args

from losslab.report.estimates import Comparison, compare
from losslab.report.measurement import Evidence, Quantity
from losslab.report.plan import Claim, Plan
from losslab.report.statistics import Interval, holm, range_p, share_p
from losslab.report.tuning import SideSampler
from losslab.text import nearest

Verdict = Literal["supported", "smaller", "contradicted", "inconclusive", "untestable"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

SIGNIFICANCE = 0.05

RULE = (
    "A claim predicts a range for one number: for a difference, beyond the smallest effect that "
    "matters on the predicted side, or within it on either side of zero for equality; for a "
    "quantity, the range stated. It is supported if the number's whole 95% interval lies in that "
    f"range and Holm's p is below {SIGNIFICANCE}. If the interval lies wholly outside, the claim "
    "is smaller where the difference has the predicted sign, by interval and by Holm's p, and "
    "contradicted otherwise: there is no effect that matters, or it goes the other way. It is "
    "untestable if every run of a side failed. Everything else is inconclusive. p is the "
    "difference's against zero, or the quantity's against the near end of its range; equality "
    "needs none. A number that is computed rather than sampled is its own interval, and no test."
)


@dataclass(frozen=True)
class Judgement:
    """A claim, the measured number, and the verdict."""

    claim: Claim
    comparison: Comparison | None = None  # on the common seeds of its sides, if there are any
    quantity: Quantity | None = None  # for a claim about a quantity
    p: float | None = None  # uncorrected; ``None`` if nothing was measured or tested
    p_holm: float | None = None  # corrected over all tested claims of the study
    verdict: Verdict = "inconclusive"  # by :data:`RULE`
    reason: str = ""  # why the claim was not judged, or why its interval is not enough

    @property
    def interval(self) -> Interval | None:
        """The 95% interval of the measured number."""
        number = self.quantity or self.comparison
        return number.interval if number else None

    @property
    def exact(self) -> bool:
        """Whether its number was computed rather than sampled, so that there is no test."""
        return self.quantity is not None and not self.quantity.sampled


def verdict(
    predicted: Interval, interval: Interval, *, p_holm: float, difference: bool = False
) -> Verdict:
    """Apply :data:`RULE`; ``p_holm`` is 0 where no test is needed.

    ``difference`` means that the claim predicts a sign.

    >>> verdict(Interval(0.01, float("inf")), Interval(0.02, 0.08), p_holm=0.01)
    'supported'
    >>> verdict(Interval(0.01, float("inf")), Interval(0.002, 0.008), p_holm=0.01, difference=True)
    'smaller'
    """
    significant = p_holm < SIGNIFICANCE
    if predicted.low <= interval.low and interval.high <= predicted.high:
        return "supported" if significant else "inconclusive"
    # Written with not: comparisons with NaN are false.
    if not (interval.high < predicted.low or interval.low > predicted.high):
        return "inconclusive"
    same_sign = interval.low > 0 if predicted.high == math.inf else interval.high < 0
    return "smaller" if difference and same_sign and significant else "contradicted"


def judge(plan: Plan, sampler: SideSampler, evidence: Evidence) -> tuple[Judgement, ...]:
    """Judge all claims of a study, in order. Diverged runs count."""
    measured = [
        _quantity(claim, evidence) if claim.quantity else _difference(claim, sampler)
        for claim in plan.claims
    ]
    # Claims not measured yet count as tests: otherwise a half-finished study would be judged more
    # leniently than a finished one.
    corrected = iter(holm([number.p for number in measured if not number.exact]))
    return tuple(_judge(number, None if number.exact else next(corrected)) for number in measured)


def _quantity(claim: Claim, evidence: Evidence) -> Judgement:
    quantity, p = evidence.quantity(claim.quantity), None
    if quantity and quantity.count is not None:
        p = share_p(quantity.count, quantity.n, claim.predicted)
    elif quantity and quantity.sampled:
        p = range_p(quantity.value, quantity.interval, quantity.n, claim.predicted)
    name, _, missing = claim.quantity.partition(".")
    reason = ""
    if quantity is None and (measured := evidence.measurements.get(name)):
        # The name of a quantity, unlike that of a metric, is known only once it has been measured.
        reason = f"{name} gave no {missing!r}{nearest(missing, measured.quantities)}"
    return Judgement(claim, quantity=quantity, p=p, reason=reason)


def _difference(claim: Claim, sampler: SideSampler) -> Judgement:
    left, right, *beyond = samples = [sampler.side(side, claim.metric) for side in claim.sides]
    if not all(sample.planned for sample in samples):
        return Judgement(claim, reason="not planned yet: tuning unfinished")
    difference = compare(left, right, beyond=beyond)
    judgement = Judgement(claim, difference, p=difference.p if difference else None)
    total = len({name for sample in samples for name in sample.planned})
    if missing := {name for sample in samples for name in sample.missing}:
        return replace(judgement, reason=f"{len(missing)} of {total} runs missing")
    untestable = ""
    if not all(sample.seeds for sample in samples):
        untestable = "not finite or not recorded in any run of a side"
    elif all(sample.all_diverged for sample in samples):
        untestable = "every run diverged"
    if untestable:
        return replace(judgement, p=None, verdict="untestable", reason=untestable)
    if without := {name for sample in samples for name in sample.without}:
        reason = f"not finite or not recorded in {len(without)} of {total} runs"
        return replace(judgement, reason=reason)
    few = "" if judgement.interval else "fewer than two seeds in common"
    return replace(judgement, reason=few)


def _judge(measured: Judgement, p_holm: float | None) -> Judgement:
    """Return the judgement of a measured number, given its corrected p-value."""
    if measured.interval is None or measured.reason:
        return replace(measured, p_holm=p_holm)
    claim, pairs, reason = measured.claim, measured.comparison, ""
    needs_p = not measured.exact and (claim.quantity or claim.direction != "equal")
    p_needed = (1.0 if p_holm is None else p_holm) if needs_p else 0.0
    rule = partial(verdict, claim.predicted, measured.interval, difference=claim.signed)
    judged = rule(p_holm=p_needed)
    if judged != rule(p_holm=0.0):
        # The interval alone would decide; say why it does not.
        reason = f"p ≥ {SIGNIFICANCE}"
        if pairs is not None and pairs.p <= 2 / 2**pairs.n:
            reason += f" with {pairs.n} pairs"
    return replace(measured, p_holm=p_holm, verdict=judged, reason=reason)
