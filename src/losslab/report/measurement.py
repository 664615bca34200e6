"""What measures give: quantities, tables and drawings, kept in a study's ``evidence.json``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from losslab.figures import Drawing
from losslab.files import one_line, read_json
from losslab.parsing import parse
from losslab.report.plan import EVIDENCE_FILE
from losslab.report.statistics import Interval
from losslab.text import printable_values


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One measured number."""

    value: float  # the number, or the mean over ``n``
    # lower end of its 95% interval; ``None`` for a number that is computed exactly
    low: float | None = None
    high: float | None = None  # upper end likewise
    n: int  # how many seeds or cases it rests on
    what: str  # what it is and how it was measured, in one line, with its unit
    count: int | None = None  # of a share, how many of the ``n``: its test is exact, a binomial's

    @property
    def sampled(self) -> bool:
        """Whether it scatters over seeds or cases; if not, it was computed exactly."""
        return self.low is not None and self.high is not None

    @property
    def interval(self) -> Interval:
        """Its 95% interval; of a number that was computed exactly, the number itself."""
        low = self.value if self.low is None else self.low
        return Interval(low, self.value if self.high is None else self.high)


@dataclass(frozen=True, kw_only=True)
class TableOfNumbers:
    """A table in the report; the first column is text."""

    title: str
    columns: list[str]
    rows: list[list[str]]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one measure gives."""

    # by name; a claim names ``<measure>.<quantity>``
    quantities: dict[str, Quantity] = field(default_factory=dict)
    drawings: list[Drawing] = field(default_factory=list)  # figures
    tables: list[TableOfNumbers] = field(default_factory=list)  # tables


@dataclass(frozen=True)
class Evidence:
    """All that a study's measures gave."""

    measurements: Mapping[str, Measurement] = field(default_factory=dict)  # by measure name
    # versions, commit and machine of the process that measured
    manifest: Mapping[str, Any] = field(default_factory=dict)

    def quantity(self, name: str) -> Quantity | None:
        """Return ``<measure>.<quantity>``, ``None`` where it was not measured."""
        measure, _, quantity = name.partition(".")
        found = self.measurements.get(measure)
        return found.quantities.get(quantity) if found else None

    def text(self) -> str:
        """Return the file's content; infinities and NaN, which JSON lacks, are text."""
        return to_json(self, indent=1, inf_nan_mode="strings").decode() + "\n"


def load_evidence(root: Path) -> Evidence:
    """Read a study's evidence, empty without the file; ``ValueError`` if it cannot be read."""
    path = root / EVIDENCE_FILE
    if not path.exists():
        return Evidence()
    try:
        data = printable_values(read_json(path))
        return parse(Evidence, {key: data[key] for key in ("measurements", "manifest")})
    except Exception as error:  # whatever an altered file leads to
        advice = "delete it and run its `losslab study` command again"
        raise ValueError(f"{path} cannot be read ({one_line(error)}); {advice}") from error
