"""Results of measures: quantities, tables and figures, stored in a study's ``evidence.json``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from losslab.figures import Curve, Drawing, Style
from losslab.files import one_line, read_json
from losslab.parsing import parse
from losslab.report.plan import EVIDENCE_FILE
from losslab.report.statistics import Interval
from losslab.text import printable_values


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One measured number."""

    value: float  # the number, or the mean over ``n``
    # ends of its 95% interval; ``None`` for a number that is computed exactly
    low: float | None = None
    high: float | None = None
    n: int  # number of seeds or cases
    what: str  # what it is and how it was measured, in one line, with its unit
    count: int | None = None  # for a share of ``n``: its test is the exact binomial one

    @property
    def sampled(self) -> bool:
        """Whether it varies over seeds or cases; otherwise it was computed exactly."""
        return self.low is not None and self.high is not None

    @property
    def interval(self) -> Interval:
        """Its 95% interval; the number itself if it was computed exactly."""
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
    """The result of one measure."""

    # by name; a claim refers to ``<measure>.<quantity>``
    quantities: dict[str, Quantity] = field(default_factory=dict)
    drawings: list[Drawing] = field(default_factory=list)
    tables: list[TableOfNumbers] = field(default_factory=list)


@dataclass(frozen=True)
class Evidence:
    """The results of all measures of a study."""

    measurements: Mapping[str, Measurement] = field(default_factory=dict)  # by measure name
    # versions, commit and machine of the process that measured
    manifest: Mapping[str, Any] = field(default_factory=dict)

    def quantity(self, name: str) -> Quantity | None:
        """Return the quantity named ``<measure>.<quantity>``, ``None`` if it was not measured."""
        measure, _, quantity = name.partition(".")
        measurement = self.measurements.get(measure)
        return measurement.quantities.get(quantity) if measurement else None

    def text(self) -> str:
        """Return the content of ``evidence.json``; infinities and NaN are strings."""
        return to_json(self, indent=1, inf_nan_mode="strings").decode() + "\n"


def interval_bars(
    quantities: Sequence[Quantity], x: list[float], *, label: str = "", style: Style | None = None
) -> Curve:
    """Return quantities for a figure, as points with their intervals as bars."""
    return Curve(
        label=label,
        style=style,
        x=x,
        y=[quantity.value for quantity in quantities],
        low=[quantity.interval.low for quantity in quantities],
        high=[quantity.interval.high for quantity in quantities],
        bars=True,
        line=False,
    )


def zero_line(positions: int) -> Curve:
    """Return a thin line at 0 for a figure with this number of positions."""
    return Curve(x=[-0.5, positions - 0.5], y=[0.0, 0.0], style=Style("#7F7F7F", "", "-"))


def load_evidence(root: Path) -> Evidence:
    """Load a study's evidence; empty without the file, ``ValueError`` if it cannot be read."""
    path = root / EVIDENCE_FILE
    if not path.exists():
        return Evidence()
    try:
        data = printable_values(read_json(path))
        return parse(Evidence, {key: data[key] for key in ("measurements", "manifest")})
    except Exception as error:  # an altered file can raise anything
        advice = "delete it and run its `losslab study` command again"
        raise ValueError(f"{path} cannot be read ({one_line(error)}); {advice}") from error
