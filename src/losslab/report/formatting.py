"""Numbers as people read them: accuracies in percent, their differences in percentage points."""

from losslab.report.courses import WORDS, split
from losslab.report.diagnostic_names import DIAGNOSTIC_NAMES, is_share
from losslab.report.samples import Comparison, Estimate
from losslab.report.statistics import Interval

METRIC_NAMES = {"accuracy": "accuracy", "nll": "NLL", "brier": "Brier score", "ece": "ECE"}
METRIC_UNITS = {"accuracy": "%", "nll": "nats", "brier": "", "ece": "%", "share": "%"}
_SCALES = {
    "accuracy": (100.0, 1), "ece": (100.0, 2), "nll": (1.0, 3), "brier": (1.0, 3),
    "share": (100.0, 1),
}  # fmt: skip
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
ABSENT = "–"


def metric_name(metric: str) -> str:
    """Return a metric's name in words.

    >>> metric_name("test/nll"), metric_name("why/margins/margin@mean")
    ('test NLL', 'margin of training examples, mean over training')
    """
    tag, course = split(metric)
    part, _, measure = tag.partition("/")
    name = DIAGNOSTIC_NAMES.get(tag, tag)
    if measure in METRIC_NAMES and part in SPLIT_NAMES:
        name = f"{SPLIT_NAMES[part]} {METRIC_NAMES[measure]}"
    return f"{name}, {WORDS[course]}" if course else name


def number(metric: str, value: float, *, signed: bool = False) -> str:
    """Return a value without its unit, with the digits that its metric deserves.

    >>> number("test/accuracy", 0.9512), number("why/margins/margin", 0.25, signed=True)
    ('95.1', '+0.25')
    """
    factor, digits = scale(metric)
    sign = "+" if signed else ""
    text = f"{value * factor:{sign}.{digits}f}" if digits else f"{value:{sign}.3g}"
    if text.strip("+-0.") == "":
        text = text.lstrip("+-")
    return text.replace("-", "−")


def scale(metric: str) -> tuple[float, int]:
    """Return the factor to the unit shown and the decimals; 0: three significant digits."""
    return _SCALES.get(_measure(metric), (1.0, 0))


def unit(metric: str, *, difference: bool = False) -> str:
    """Return the unit that :func:`number` is in, with a space before it, or nothing.

    >>> unit("test/accuracy"), unit("test/accuracy", difference=True), unit("test/brier")
    (' %', ' pp', '')
    """
    name = METRIC_UNITS.get(_measure(metric), "")
    if difference and name == "%":
        name = "pp"
    return f" {name}" if name else ""


def _measure(metric: str) -> str:
    """Return which of :data:`METRIC_UNITS` a tag is of: ``why/calibration/ece_scaled`` is one."""
    tag = split(metric)[0]
    if is_share(tag):
        return "share"
    name = tag.rsplit("/", 1)[-1]
    return name.removeprefix("adaptive_").removesuffix("_scaled")


def interval(metric: str, bounds: Interval | None, *, signed: bool = False) -> str:
    """Return ``[low, high]``, or a dash.

    >>> interval("test/accuracy", Interval(0.94, 0.96))
    '[94.0, 96.0]'
    """
    if bounds is None:
        return ABSENT
    return "[" + ", ".join(number(metric, bound, signed=signed) for bound in bounds) + "]"


def estimate(metric: str, found: Estimate | None) -> str:
    """Return a mean with its unit and interval.

    >>> estimate("test/nll", Estimate(3, 0.25, Interval(0.2, 0.3), "seeds"))
    '0.250 nats [0.200, 0.300]'
    """
    if found is None:
        return ABSENT
    text = number(metric, found.mean) + unit(metric)
    return text if found.interval is None else f"{text} {interval(metric, found.interval)}"


def difference(metric: str, found: Comparison | None) -> str:
    """Return a signed difference with its unit and interval."""
    if found is None:
        return ABSENT
    value = number(metric, found.difference, signed=True) + unit(metric, difference=True)
    return f"{value} {interval(metric, found.interval, signed=True)}"


def mean_of(seeds: int) -> str:
    """Return what a mean is over, in words.

    >>> mean_of(1), mean_of(3)
    ('one seed', 'mean of 3 seeds')
    """
    return "one seed" if seeds == 1 else f"mean of {seeds} seeds"


def p_value(p: float | None) -> str:
    """Return a p-value with three digits after the point.

    >>> p_value(0.0004), p_value(0.04), p_value(None)
    ('< 0.001', '0.040', '–')
    """
    if p is None:
        return ABSENT
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
