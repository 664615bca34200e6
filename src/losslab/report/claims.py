"""Judge a claim: one rule for every study."""

from dataclasses import dataclass
from typing import Literal, get_args

from losslab.report.plan import Claim, Direction, Plan
from losslab.report.samples import Comparison, Sampler, compare
from losslab.report.statistics import Interval, holm

Verdict = Literal["supported", "contradicted", "inconclusive"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

SIGNIFICANCE = 0.05

RULE = (
    "A claim of a direction is supported if the whole 95% interval of the difference lies beyond "
    f"the smallest effect that matters, on the predicted side, and Holm's p is below "
    f"{SIGNIFICANCE}; it is contradicted if the whole interval falls short of that effect: there "
    "is none, it is too small to matter, or it goes the other way. A claim of equality is "
    "supported if the whole interval lies within the smallest effect on either side of zero, and "
    "contradicted if it lies wholly outside. Everything else is inconclusive."
)


@dataclass(frozen=True)
class Judgement:
    """A claim with what was measured.

    Attributes:
        claim: What was claimed.
        comparison: What was measured on the seeds that both sides have; ``None`` if none.
        p_holm: Corrected over all claims of the study.
        verdict: By :data:`RULE`.
        reason: Why the claim was not judged, or why an interval that would support it does not;
            else empty.
    """

    claim: Claim
    comparison: Comparison | None
    p_holm: float | None
    verdict: Verdict
    reason: str = ""


def verdict(
    *, direction: Direction, smallest_effect: float, interval: Interval, p_holm: float
) -> Verdict:
    """Apply :data:`RULE`.

    Args:
        direction: The predicted sign of the difference, or ``equal``.
        smallest_effect: The smallest difference that matters, positive.
        interval: Of the difference.
        p_holm: Corrected p-value; not used for equality, which it does not test.

    >>> verdict(direction="less", smallest_effect=0.01, interval=Interval(-0.08, -0.02),
    ...         p_holm=0.01)
    'supported'
    """
    low, high = interval
    if direction == "equal":
        if -smallest_effect < low and high < smallest_effect:
            return "supported"
        outside = low > smallest_effect or high < -smallest_effect
        return "contradicted" if outside else "inconclusive"
    if direction == "less":
        low, high = -high, -low
    if low > smallest_effect and p_holm < SIGNIFICANCE:
        return "supported"
    return "contradicted" if high < smallest_effect else "inconclusive"


def judge(plan: Plan, sampler: Sampler) -> list[Judgement]:
    """Judge all claims of a study, in their order. Diverged runs count."""
    measured = [_measure(claim, plan, sampler) for claim in plan.claims]
    corrected = holm([comparison.p if comparison else None for comparison, _ in measured])
    return [
        _judgement(claim, comparison, reason, p_holm)
        for claim, (comparison, reason), p_holm in zip(
            plan.claims, measured, corrected, strict=True
        )
    ]


def _measure(claim: Claim, plan: Plan, sampler: Sampler) -> tuple[Comparison | None, str]:
    planned = [tuple(run.run for run in plan.confirming(side)) for side in claim.sides]
    if not all(planned):
        return None, "not planned yet: tuning unfinished"
    left, right, *others = (sampler.sample(names, claim.metric) for names in planned)
    beyond = (others[0], others[1]) if others else None
    samples = (left, right, *others)
    return compare(left, right, beyond=beyond), _obstacle(
        missing={name for sample in samples for name in sample.missing},
        without={name for sample in samples for name in sample.without},
        planned={name for names in planned for name in names},
    )


def _obstacle(*, missing: set[str], without: set[str], planned: set[str]) -> str:
    if missing:
        return f"{len(missing)} of {len(planned)} runs missing"
    if without:
        return f"not finite or not recorded in {len(without)} of {len(planned)} runs"
    return ""


def _judgement(
    claim: Claim, comparison: Comparison | None, reason: str, p_holm: float | None
) -> Judgement:
    if not reason and (comparison is None or comparison.interval is None or p_holm is None):
        reason = "fewer than two seeds in common"
    if reason or comparison is None or comparison.interval is None or p_holm is None:
        return Judgement(claim, comparison, p_holm, "inconclusive", reason)
    found, without_test = (
        verdict(
            direction=claim.direction,
            smallest_effect=claim.smallest_effect,
            interval=comparison.interval,
            p_holm=p,
        )
        for p in (p_holm, 0.0)
    )
    if found != without_test:
        # Otherwise a reader would see an interval that supports the claim, and no verdict.
        smallest = comparison.p <= 2 / 2**comparison.n
        reason = f"p ≥ {SIGNIFICANCE}" + (f" with {comparison.n} pairs" if smallest else "")
    return Judgement(claim, comparison, p_holm, found, reason)
