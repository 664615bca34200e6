"""Compare a study's results with new runs of the same points on fresh seeds."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from scipy import special

from losslab.metrics import RANGES
from losslab.recording import read_predictions
from losslab.report import formatting as show
from losslab.report.claims import Judgement, Verdict, verdict
from losslab.report.committed import ROUNDING, Committed, CommittedClaim, Number, point_name
from losslab.report.contradictions import contradictions
from losslab.report.document import Document, Table
from losslab.report.estimates import Estimate, within_range
from losslab.report.findings import ACCURACY, Findings
from losslab.report.plan import Side
from losslab.report.statistics import LEVEL, Interval

FALSE_ALARM = 0.005
"""Upper bound on the probability that a correct ``results.json`` fails to reproduce, for normally
distributed seeds. :func:`compare_results` says what happens otherwise."""

NOTICED = 0.9
"""The power at the error that the column ``notices`` gives."""

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

    Few seeds can agree by chance, and s would be 0. So s is at least what one test example changes
    in an accuracy, if their number is known, and otherwise half a unit of the last decimal shown.

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
        numbers=tuple(
            _compare(
                point_name(side.arm, side.rate),
                metric,
                old,
                new,
                level=level,
                resolution=_resolution(findings, side, metric),
            )
            for side, metric, old, new in numbers
        ),
        claims=tuple(_compare_claim(findings, old, new, level) for old, new in claims),
        contradictions=tuple(contradictions(committed, findings.plan)),
    )


def _numbers(
    committed: Committed, findings: Findings
) -> Iterator[tuple[Side, str, Number, Estimate]]:
    """Yield side, metric, committed and new mean of each number that can be compared."""
    plan, numbers = findings.plan, committed.numbers
    for (arm, rate, metric), measured in findings.measured.items():
        old, new = numbers.get((arm, rate, metric)), measured.estimate
        # The reference is the same at all rates.
        repeated = rate != "own" and plan.reference_of(arm) == arm and "own" in plan.rates
        if old and new and not repeated and _comparable(old, new):
            yield Side(arm, rate), metric, old, new


def _comparable(old: Number | None, new: Estimate | None) -> bool:
    return bool(old and new and old.variance is not None and new.n >= 2)


def _resolution(findings: Findings, side: Side, metric: str) -> float:
    """Return the smallest standard deviation of single seeds to allow for."""
    for planned in findings.plan.confirming(side) if metric == ACCURACY else ():
        run = findings.runs.get(planned.run)
        if stored := run and read_predictions(run.files.predictions, "test"):
            return 1 / len(stored[1])
    factor, decimals = show.scale(metric)
    return 0.5 / (factor * 10**decimals) if decimals else 0.0


def _compare(
    name: str, metric: str, old: Number, new: Estimate, *, level: float, resolution: float
) -> Compared:
    values, variance = tuple(new.by_seed.values()), old.variance
    assert variance is not None
    freedom = old.n + new.n - 2
    pooled = (old.n - 1) * variance + (new.n - 1) * float(np.var(values, ddof=1))
    error = math.sqrt(max(pooled / freedom, resolution**2) * (1 / old.n + 1 / new.n))
    rounding = ROUNDING * (abs(old.mean) + math.sqrt(variance))
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


def _compare_claim(
    findings: Findings, old: CommittedClaim, new: Judgement, level: float
) -> ComparedClaim:
    claim, comparison = new.claim, new.comparison
    assert old.measured
    assert claim.left
    assert comparison
    assert comparison.interval
    # Widen from 95% to the table's level, with the fewest possible degrees of freedom.
    quantiles = special.stdtrit(comparison.n - 1, [(1 + level) / 2, (1 + LEVEL) / 2])
    mean = comparison.mean
    half = (mean - comparison.interval.low) * float(quantiles[0] / quantiles[1])
    rule = partial(verdict, claim.predicted, p_holm=0.0, difference=claim.signed)
    compared = _compare(
        claim.id,
        claim.metric,
        old.measured,
        comparison,
        level=level,
        resolution=_resolution(findings, claim.left, claim.metric),
    )
    return ComparedClaim(
        **vars(compared),
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
    lowest, highest = RANGES.get(metric.partition("/")[2], (-math.inf, math.inf))
    notices = min(compared.notices, (highest - lowest) * (2 if signed else 1))
    return {
        "committed": show.number(metric, compared.committed, signed=signed)
        + (show.unit(metric, difference=True) if signed else ""),
        "expected": show.interval(metric, expected, signed=signed),
        "fresh": show.number(metric, compared.new, signed=signed),
        "notices": f"±{show.number(metric, notices)}",
    }
