"""Judge a claim: one rule for every claim of every study."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from losslab.report.estimates import Comparison, Sampler, compare
from losslab.report.measurement import Evidence, Quantity
from losslab.report.plan import Claim, Plan
from losslab.report.statistics import Interval, holm, range_p

Verdict = Literal["supported", "contradicted", "inconclusive"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

SIGNIFICANCE = 0.05

RULE = (
    "A claim predicts a range for one number: for a difference, beyond the smallest effect that "
    "matters on the predicted side, or within it on either side of zero for equality; for a "
    "quantity, the range stated. It is supported if the number's whole 95% interval lies in that "
    f"range and Holm's p is below {SIGNIFICANCE}, contradicted if the interval lies wholly "
    "outside: there is no effect, it is too small to matter, or it goes the other way. Everything "
    "else is inconclusive. p is the difference's against zero, or the quantity's against the near "
    "end of its range; equality needs none. A number that is computed rather than sampled is its "
    "own interval, and no test."
)


@dataclass(frozen=True)
class Judgement:
    """A claim with what was measured."""

    claim: Claim  # what was claimed
    # what a difference was on the seeds that its sides have in common; ``None`` if none, and for a
    # claim about a quantity
    comparison: Comparison | None
    quantity: Quantity | None  # what was measured for a claim about one; else ``None``
    p: float | None  # not corrected; ``None`` where nothing was measured or nothing is tested
    p_holm: float | None  # corrected over all claims of the study that are tested
    verdict: Verdict  # by :data:`RULE`
    # why the claim was not judged, or why an interval that would support it does not; else empty
    reason: str = ""


def verdict(predicted: Interval, interval: Interval, *, p_holm: float) -> Verdict:
    """Apply :data:`RULE`.

    Args:
        predicted: The range in which the number should lie.
        interval: Of the number.
        p_holm: Corrected p-value; 0 for what needs no test.

    >>> verdict(Interval(0.01, float("inf")), Interval(0.02, 0.08), p_holm=0.01)
    'supported'
    """
    if predicted.low <= interval.low and interval.high <= predicted.high:
        return "supported" if p_holm < SIGNIFICANCE else "inconclusive"
    outside = interval.high < predicted.low or interval.low > predicted.high
    return "contradicted" if outside else "inconclusive"


def judge(plan: Plan, sampler: Sampler, evidence: Evidence) -> tuple[Judgement, ...]:
    """Judge all claims of a study, in their order. Diverged runs count."""
    effects = [
        _quantity(claim, evidence) if claim.quantity else _difference(claim, plan, sampler)
        for claim in plan.claims
    ]
    # What is computed exactly is no test; what is not measured yet counts as one: otherwise a
    # half-finished study would be judged more leniently than a finished one.
    tested = [effect for effect in effects if not effect.exact]
    corrected = iter(holm([effect.p for effect in tested]))
    return tuple(
        _judgement(claim, effect, None if effect.exact else next(corrected))
        for claim, effect in zip(plan.claims, effects, strict=True)
    )


@dataclass(frozen=True)
class _Effect:
    """What was measured for a claim."""

    interval: Interval | None = None
    p: float | None = None
    exact: bool = False
    reason: str = ""
    comparison: Comparison | None = None
    quantity: Quantity | None = None


def _quantity(claim: Claim, evidence: Evidence) -> _Effect:
    found = evidence.quantity(claim.quantity)
    if found is None:
        return _Effect()
    p = None
    if found.sampled:
        p = range_p(found.value, found.interval, found.n, claim.predicted)
    return _Effect(found.interval, p, exact=not found.sampled, quantity=found)


def _difference(claim: Claim, plan: Plan, sampler: Sampler) -> _Effect:
    planned = [tuple(run.run for run in plan.confirming(side)) for side in claim.sides]
    if not all(planned):
        return _Effect(reason="not planned yet: tuning unfinished")
    left, right, *others = samples = [sampler.sample(names, claim.metric) for names in planned]
    found = compare(left, right, beyond=(others[0], others[1]) if others else None)
    total = len({name for names in planned for name in names})
    missing = _count([sample.missing for sample in samples])
    without = _count([sample.without for sample in samples])
    reason = ""
    if missing:
        reason = f"{missing} of {total} runs missing"
    elif without:
        reason = f"not finite or not recorded in {without} of {total} runs"
    elif found is None or found.interval is None:
        reason = "fewer than two seeds in common"
    if found is None:
        return _Effect(reason=reason)
    return _Effect(found.interval, found.p, reason=reason, comparison=found)


def _count(names: Sequence[Sequence[str]]) -> int:
    return len({name for some in names for name in some})


def _judgement(claim: Claim, effect: _Effect, p_holm: float | None) -> Judgement:
    found: Verdict = "inconclusive"
    reason = effect.reason
    if effect.interval is not None and not reason:
        tested = claim.quantity or claim.direction != "equal"
        needed = 0.0 if effect.exact or not tested else (1.0 if p_holm is None else p_holm)
        found = verdict(claim.predicted, effect.interval, p_holm=needed)
        if found != verdict(claim.predicted, effect.interval, p_holm=0.0):
            # Otherwise a reader would see an interval that supports the claim, and no verdict.
            reason = f"p ≥ {SIGNIFICANCE}"
            pairs = effect.comparison
            if pairs is not None and pairs.p <= 2 / 2**pairs.n:
                reason += f" with {pairs.n} pairs"
    return Judgement(claim, effect.comparison, effect.quantity, effect.p, p_holm, found, reason)
