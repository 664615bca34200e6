"""Compare a study's results with new runs of the same points on fresh seeds."""

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AliasChoices, Field
from scipy import special

from losslab.parsing import parse
from losslab.report import formatting as show
from losslab.report.claims import RULE, Judgement, Verdict, verdict
from losslab.report.document import Document, Table
from losslab.report.estimates import Estimate, within_range
from losslab.report.findings import Findings
from losslab.report.plan import Claim, Plan, Rate, Side
from losslab.report.results import DIGITS
from losslab.report.statistics import LEVEL, Interval

FALSE_ALARM = 0.005
"""Upper bound on the probability that a correct ``results.json`` fails to reproduce, for normally
distributed seeds. :func:`compare_results` says what happens otherwise."""

NOTICED = 0.9
"""The power at the error that the column ``notices`` gives."""

# Relative rounding error in ``results.json``: half a unit in the last digit of 1.00000.
_ROUNDING = 5 * 10.0**-DIGITS

_OPPOSED: Mapping[str, tuple[Verdict, ...]] = {
    "supported": ("contradicted", "smaller"),
    "smaller": ("supported", "contradicted"),
    "contradicted": ("supported",),
}

Answer = Literal["reproduced", "not reproduced", "not opposed"]
_SHORT_ANSWERS: dict[Answer, str] = {
    "reproduced": "yes",
    "not reproduced": "NO",
    "not opposed": "open",
}


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


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A committed number against fresh seeds."""

    name: str  # of the point, ``<arm>[@<condition>][:<rate>]``, or the id of the claim
    metric: str  # its tag
    committed: float  # the mean, or the difference of a claim
    n: int  # its number of seeds
    expected: Interval  # contains the mean of the fresh seeds if ``committed`` is right
    new: float  # that mean
    new_n: int  # its number of seeds
    notices: float  # the error of ``committed`` that is noticed with probability NOTICED

    @property
    def reproduced(self) -> bool:
        """Whether the fresh seeds' mean is as expected."""
        return self.expected.low <= self.new <= self.expected.high


@dataclass(frozen=True, kw_only=True)
class ComparedClaim(Compared):
    """A committed claim against fresh seeds."""

    verdict: Verdict  # the committed one
    new_verdict: Verdict  # by the interval of the fresh seeds alone
    opposed: bool  # whether their interval, at the table's level, excludes the verdict

    @property
    def answer(self) -> Answer:
        """Whether the verdict is reproduced; ``not opposed`` if there are too few seeds to tell."""
        if self.opposed or not self.reproduced:
            return "not reproduced"
        # An inconclusive verdict cannot be reproduced.
        same = self.new_verdict == self.verdict != "inconclusive"
        return "reproduced" if same else "not opposed"


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A study's results against fresh seeds."""

    numbers: tuple[Compared, ...]  # of the points that were run again
    claims: tuple[ComparedClaim, ...]  # about such points
    contradictions: tuple[str, ...]  # within ``results.json``, or between it and the study

    @property
    def reproduced(self) -> bool:
        """Whether all numbers and claims agree, or are at least not opposed."""
        answers = [claim.answer for claim in self.claims]
        wrong = self.contradictions or "not reproduced" in answers
        return not wrong and all(number.reproduced for number in self.numbers)


def compare_results(committed: Committed, findings: Findings) -> Reproduction:
    r"""Compare committed results with new runs of the same points on fresh seeds.

    If ``results.json`` is right, old and new seeds are draws from the same distribution. Then the
    mean of m fresh seeds lies within

        x̄ ± t s √(1/n + 1/m)

    of the committed mean x̄ of n seeds, where s² is the variance pooled over both and t Student's
    quantile with n + m − 2 degrees of freedom at the level 1 − 0.005/K. The probability that any of
    the K comparisons fails is then at most 0.005 (Bonferroni). Each number is one comparison; each
    claim is two, its paired difference and its verdict. The test part is the same for all runs, so
    only seeds add noise.

    Old results without values for each seed get their variance from the interval. If that covers
    test examples as well, it is too large: the test has less power and fewer false alarms.

    If one seed in five or ten fails, which makes accuracies bimodal, a row fails up to seven times
    as often (400,000 draws of 10 or 15 and 5 seeds). With two such rows in 32, a correct table
    still fails less than once in 100 times.

    A verdict is opposed if the interval of the fresh seeds alone, at the level 1 − 0.005/K, implies
    a verdict that excludes it: outside the predicted range for ``supported``, inside for
    ``contradicted``, either, or the other sign, for ``smaller``. It is reproduced if their 95%
    interval implies it again (without p-values, which few seeds cannot make small). In between,
    there are too few seeds to tell.
    """
    numbers = list(_numbers(committed, findings))
    judged = {claim.id: claim for claim in committed.claims}
    claims = [
        (judged[new.claim.id], new)
        for new in findings.differences
        if new.claim.id in judged and _comparable(judged[new.claim.id].measured, new.comparison)
    ]
    level = 1 - FALSE_ALARM / max(len(numbers) + 2 * len(claims), 1)
    return Reproduction(
        numbers=tuple(_compare(*number, level=level) for number in numbers),
        claims=tuple(_compare_claim(old, new, level) for old, new in claims),
        contradictions=tuple(contradictions(committed, findings.plan)),
    )


def _numbers(
    committed: Committed, findings: Findings
) -> Iterator[tuple[str, str, Number, Estimate]]:
    """Yield point, metric, committed and new mean of each number that can be compared."""
    plan, numbers = findings.plan, committed.numbers
    for (arm, rate, metric), measured in findings.measured.items():
        old, new = numbers.get((arm, rate, metric)), measured.estimate
        # The reference is the same at all rates.
        repeated = rate != "own" and plan.reference_of(arm) == arm and "own" in plan.rates
        if old and new and not repeated and _comparable(old, new):
            yield point_name(arm, rate), metric, old, new


def _comparable(old: Number | None, new: Estimate | None) -> bool:
    return bool(old and new and old.variance is not None and new.n >= 2)


def point_name(arm: str, rate: str) -> str:
    """Return the name of a point, ``mse@two`` or ``mse@two:reference``."""
    return arm if rate == "own" else f"{arm}:{rate}"


def _compare(name: str, metric: str, old: Number, new: Estimate, *, level: float) -> Compared:
    values, variance = tuple(new.by_seed.values()), old.variance
    assert variance is not None
    freedom = old.n + new.n - 2
    pooled = (old.n - 1) * variance + (new.n - 1) * float(np.var(values, ddof=1))
    error = math.sqrt(pooled / freedom * (1 / old.n + 1 / new.n))
    rounding = _ROUNDING * (abs(old.mean) + math.sqrt(variance))
    quantile = float(special.stdtrit(freedom, (1 + level) / 2))
    half = quantile * error + rounding
    return Compared(
        name=name,
        metric=metric,
        committed=old.mean,
        n=old.n,
        expected=Interval(old.mean - half, old.mean + half),
        new=float(np.mean(values)),
        new_n=new.n,
        notices=float(special.nctdtrinc(freedom, 1 - NOTICED, quantile)) * error + rounding,
    )


def _compare_claim(old: CommittedClaim, new: Judgement, level: float) -> ComparedClaim:
    claim, comparison = new.claim, new.comparison
    assert old.measured
    assert comparison
    assert comparison.interval
    # Widen from 95% to the table's level, with the fewest possible degrees of freedom.
    quantiles = special.stdtrit(comparison.n - 1, [(1 + level) / 2, (1 + LEVEL) / 2])
    mean = comparison.mean
    half = (mean - comparison.interval.low) * float(quantiles[0] / quantiles[1])
    rule = partial(verdict, claim.predicted, p_holm=0.0, difference=claim.signed)
    return ComparedClaim(
        **vars(_compare(claim.id, claim.metric, old.measured, comparison, level=level)),
        verdict=old.verdict,
        new_verdict=rule(interval=comparison.interval),
        opposed=rule(interval=Interval(mean - half, mean + half)) in _OPPOSED.get(old.verdict, ()),
    )


def document(study: str, reproduction: Reproduction, texts: Mapping[str, Any]) -> Document:
    """Lay out a reproduction; ``texts`` are more values for the template ``verification.md``."""
    # Failures come first, as a terminal shows a limited number of rows.
    numbers = [
        {"point": each.name, "metric": _short_name(each.metric), **_columns(each)}
        | {"ok": "yes" if each.reproduced else "NO"}
        for each in sorted(reproduction.numbers, key=lambda each: each.reproduced)
    ]
    claims = [
        {"claim": each.name, "verdict": each.verdict, **_columns(each, signed=True)}
        | {"ok": _SHORT_ANSWERS[each.answer]}
        for each in reproduction.claims
    ]
    shown = ("claim", "verdict", "committed", "expected", "fresh", "ok")
    content = {
        "study": study,
        "numbers": Table.of(numbers, text_columns=2),
        "claims": Table.of(claims, text_columns=2, terminal=shown),
        "contradictions": reproduction.contradictions,
        "noticed": round(100 * NOTICED),
        "failed": sum(not each.reproduced for each in reproduction.numbers),
        "answers": [each.answer for each in reproduction.claims],
    }
    return Document("verification", content | dict(texts))


def _short_name(metric: str) -> str:
    return show.metric_name(metric).removeprefix("test ").removesuffix(" score") + show.unit(metric)


def _columns(compared: Compared, *, signed: bool = False) -> dict[str, str]:
    metric = compared.metric
    # The range of a metric does not apply to differences.
    expected = compared.expected if signed else within_range(compared.expected, metric)
    return {
        "committed": show.number(metric, compared.committed, signed=signed)
        + (show.unit(metric, difference=True) if signed else ""),
        "expected": show.interval(metric, expected, signed=signed),
        "fresh": show.number(metric, compared.new, signed=signed),
        "notices": f"±{show.number(metric, compared.notices)}",
    }


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
    return abs(one - other) <= 3 * _ROUNDING * abs(scale)
