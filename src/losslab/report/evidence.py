"""What a demonstration measured, as ``losslab study`` wrote it to ``evidence.json``.

A comparison of arms is judged in :mod:`losslab.report.claims`. Here a claim is about one number:
an eigenvalue, a difference of weights, a correlation over seeds.
"""

import json
import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from losslab.figures import Drawing, read_drawing
from losslab.files import read_json
from losslab.report.claims import Verdict

EVIDENCE_FILE = "evidence.json"

RULE = (
    "A claim predicts a range for one measured number. It is supported if the number's whole 95% "
    "interval lies in that range, contradicted if it lies wholly outside, and inconclusive "
    "otherwise. A number that is computed rather than sampled is its own interval."
)


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One measured number.

    Attributes:
        value: The number, or the mean over ``n``.
        low: Lower end of its 95% interval; ``None`` for a number that is computed exactly.
        high: Upper end likewise.
        n: How many seeds or cases it rests on.
        what: What it is and how it was got, in one line, with its unit.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int
    what: str


@dataclass(frozen=True, kw_only=True)
class TableOfNumbers:
    """A table in the report; the first column is text."""

    title: str
    columns: list[str]
    rows: list[list[str]]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one measure function gives.

    Attributes:
        quantities: By name; a claim names ``<measure>.<quantity>``.
        drawings: Figures.
        tables: Tables.
    """

    quantities: dict[str, Quantity] = field(default_factory=dict)
    drawings: list[Drawing] = field(default_factory=list)
    tables: list[TableOfNumbers] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class NumericClaim:
    """A statement about one number.

    Attributes:
        id: Unique in its study.
        statement: One sentence.
        source: Who says so.
        quantity: ``<measure>.<quantity>``.
        at_least: Lower end of the predicted range, ``None`` for none.
        at_most: Upper end likewise.
        discussion: What the reader should take from it, e.g. the right formula.
    """

    id: str
    statement: str
    source: str
    quantity: str
    at_least: float | None = None
    at_most: float | None = None
    discussion: str = ""

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"claim {self.id} predicts nothing; give at_least, at_most or both")


@dataclass(frozen=True)
class NumericJudgement:
    """A claim with what was measured; ``quantity`` is ``None`` if its runs are missing."""

    claim: NumericClaim
    quantity: Quantity | None
    verdict: Verdict


@dataclass(frozen=True)
class Evidence:
    """A demonstration as a whole.

    Attributes:
        study: Its name.
        title: Of the report.
        question: What it answers.
        command: That made it.
        manifest: Versions, commit and machine of the measuring process.
        claims: In the order of display.
        measurements: By measure name.
        runs: Folders below the study's, of the runs that it planned.
    """

    study: str
    title: str
    question: str
    command: str
    manifest: dict[str, Any]
    claims: list[NumericClaim]
    measurements: dict[str, Measurement]
    runs: list[str]


def judge_quantity(claim: NumericClaim, quantity: Quantity | None) -> Verdict:
    """Apply :data:`RULE`.

    >>> claim = NumericClaim(id="a", statement="", source="", quantity="m.q", at_least=0.0)
    >>> judge_quantity(claim, Quantity(value=0.5, low=0.1, high=0.9, n=5, what=""))
    'supported'
    """
    if quantity is None or math.isnan(quantity.value):
        return "inconclusive"
    low = quantity.value if quantity.low is None else quantity.low
    high = quantity.value if quantity.high is None else quantity.high
    least = -math.inf if claim.at_least is None else claim.at_least
    most = math.inf if claim.at_most is None else claim.at_most
    if least <= low and high <= most:
        return "supported"
    return "contradicted" if high < least or low > most else "inconclusive"


def judge_evidence(evidence: Evidence) -> list[NumericJudgement]:
    """Judge all claims, in their order."""
    judgements = []
    for claim in evidence.claims:
        measure, _, name = claim.quantity.partition(".")
        measurement = evidence.measurements.get(measure)
        quantity = measurement.quantities.get(name) if measurement else None
        judgements.append(NumericJudgement(claim, quantity, judge_quantity(claim, quantity)))
    return judgements


def evidence_text(evidence: Evidence) -> str:
    """Return the file's content; infinities and NaN are written as text, which JSON has not."""
    return json.dumps(_plain(asdict(evidence)), indent=1, allow_nan=False) + "\n"


def load_evidence(root: Path) -> Evidence:
    """Read a study's evidence.

    Raises:
        ValueError: The file cannot be read.
    """
    path = root / EVIDENCE_FILE
    try:
        data = _numbers(read_json(path))
        return Evidence(
            **data
            | {
                "claims": [NumericClaim(**claim) for claim in data["claims"]],
                "measurements": {k: _measurement(m) for k, m in data["measurements"].items()},
            }
        )
    except Exception as error:  # whatever an altered file leads to
        raise ValueError(
            f"{path} cannot be read ({' '.join(str(error).split())}); delete it and run its "
            "`losslab study` command again"
        ) from error


def _measurement(data: dict[str, Any]) -> Measurement:
    for drawing in data["drawings"]:
        # It becomes the name of a file.
        if not re.fullmatch(r"[\w-][\w.-]*", drawing["name"]):
            raise ValueError(f"a drawing is called {drawing['name']!r}")
    return Measurement(
        quantities={name: Quantity(**q) for name, q in data["quantities"].items()},
        drawings=list(map(read_drawing, data["drawings"])),
        tables=[TableOfNumbers(**table) for table in data["tables"]],
    )


_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return _SPECIAL.get(value, value) if isinstance(value, str) else value
