"""Format numbers for reports: accuracies in percent, their differences in percentage points."""

from collections.abc import Callable, Mapping, Sequence

from losslab.report.estimates import EXAMPLES, Comparison, Estimate
from losslab.report.measurement import Quantity
from losslab.report.plan import Side
from losslab.report.selectors import SELECTORS, split
from losslab.report.statistics import Interval

# Measure to its name, its unit, the factor to that unit, and the decimals shown.
_MEASURES = {
    "accuracy": ("accuracy", "%", 100.0, 1),
    "nll": ("NLL", "nats", 1.0, 3),
    "brier": ("Brier score", "", 1.0, 3),
    "ece": ("ECE", "%", 100.0, 2),
}
_SHARE = ("", "%", 100.0, 1)
_OTHER = ("", "", 1.0, 0)  # 0 decimals stands for three significant digits
PART_NAMES = {"train": "training", "val": "validation", "test": "test"}
ABSENT = "–"
_RATES = {"own": "own", "reference": "reference’s", "scaled": "reference’s, scaled"}

# Tags of diagnostics to their names in reports.
DIAGNOSTIC_NAMES: Mapping[str, str] = {
    "why/attenuation/ratio": "attenuation factor",
    "why/calibration/adaptive_ece": "test adaptive ECE",
    "why/calibration/adaptive_ece_scaled": "test adaptive ECE after one temperature",
    "why/calibration/brier": "test Brier score",
    "why/calibration/brier_scaled": "test Brier score after one temperature",
    "why/calibration/ece": "test ECE",
    "why/calibration/ece_scaled": "test ECE after one temperature",
    "why/calibration/nll": "test NLL",
    "why/calibration/nll_scaled": "test NLL after one temperature",
    "why/calibration/temperature": "temperature",
    "why/early_stopping/clean/best/accuracy": "best accuracy on clean validation labels",
    "why/early_stopping/clean/stopped/accuracy": "accuracy at the best epoch by clean labels",
    "why/early_stopping/held_out/accuracy": "accuracy on held-out images",
    "why/early_stopping/noisy/accuracy": "accuracy on noisy validation labels",
    "why/early_stopping/noisy/best/accuracy": "best accuracy on noisy validation labels",
    "why/early_stopping/noisy/stopped/accuracy": "accuracy at the best epoch by noisy labels",
    "why/flipped_labels/clean_accuracy": "training accuracy on right labels",
    "why/flipped_labels/corrected": "wrong labels answered with the right class",
    "why/flipped_labels/memorised": "wrong labels that were learned",
    "why/geometry/separation": "class separation",
    "why/kernel_alignment/features": "alignment of the features' kernel, start to end",
    "why/kernel_alignment/labels": "alignment of the features' kernel with the classes",
    "why/kernel_alignment/weights": "distance of the weights from the start, relative",
    "why/landscape/line/relative_barrier": "barrier on the line from start to end, in its fall",
    "why/landscape/line/relative_rise": "rise on the line from start to end, in its fall",
    "why/linear_probe/accuracy": "test accuracy of a linear probe",
    "why/linear_probe/val/accuracy": "validation accuracy of a linear probe",
    "why/logit_curvature/share/negative_eigenvalues": "negative eigenvalues of logit Hessians",
    "why/logit_curvature/share/negative_examples": "examples with negative logit curvature",
    "why/logit_gradients/norm": "norm of the logit gradients",
    "why/logit_gradients/share/confident_wrong": "gradient energy of the confidently wrong",
    "why/logit_gradients/share/too_right": "gradient energy that pushes right scores down",
    "why/margins/margin": "margin of training examples",
    "why/saturation/share/saturated_right": "training examples with p_y above 0.999",
    "why/saturation/share/saturated_wrong": "training examples with p_y below 0.001",
    "why/weight_curvature/hessian/largest": "largest Hessian eigenvalue",
    "why/weight_curvature/hessian/trace": "trace of the Hessian",
}


def metric_name(metric: str) -> str:
    """Return a metric's name in words.

    >>> metric_name("test/nll"), metric_name("why/margins/margin@mean")
    ('test NLL', 'margin of training examples, mean over training')
    """
    tag, selector = split(metric)
    part, _, measure = tag.partition("/")
    name = DIAGNOSTIC_NAMES.get(tag, tag)
    if measure in _MEASURES and part in PART_NAMES:
        name = f"{PART_NAMES[part]} {_MEASURES[measure][0]}"
    return f"{name}, {SELECTORS[selector].words}" if selector else name


def number(metric: str, value: float, *, signed: bool = False) -> str:
    """Return a value without its unit, with as many digits as suit its metric.

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
    """Return the factor to the unit shown, and the decimals; 0 for three significant digits."""
    return _measure(metric)[2:]


def unit(metric: str, *, difference: bool = False) -> str:
    """Return the unit as it follows a :func:`number`, ``" nats"`` or ``"%"``; empty if none."""
    name = _measure(metric)[1]
    name = "pp" if difference and name == "%" else name
    return name if name in ("", "%") else f" {name}"


def _measure(metric: str) -> tuple[str, str, float, int]:
    """Return the entry of :data:`_MEASURES` for a tag; ``why/calibration/ece_scaled`` is an ECE."""
    tag = split(metric)[0]
    if "/share/" in tag or tag.startswith("why/flipped_labels/"):
        return _SHARE
    name = tag.rsplit("/", 1)[-1].removeprefix("adaptive_").removesuffix("_scaled")
    return _MEASURES.get(name, _OTHER)


def interval(metric: str, bounds: Interval | None, *, signed: bool = False) -> str:
    """Return ``[low, high]``, or a dash."""
    if bounds is None:
        return ABSENT
    return "[" + ", ".join(number(metric, bound, signed=signed) for bound in bounds) + "]"


def estimate(metric: str, mean: Estimate | None) -> str:
    """Return a mean with its unit and interval, ``0.250 nats [0.200, 0.300]``."""
    if mean is None:
        return ABSENT
    bounds = f" {interval(metric, mean.interval)}" if mean.interval else ""
    return number(metric, mean.mean) + unit(metric) + bounds


def difference(metric: str, comparison: Comparison | None) -> str:
    """Return a signed difference with its unit and interval."""
    if comparison is None:
        return ABSENT
    return signed(metric, comparison.mean, comparison.interval)


def mark(estimate: Estimate | None) -> str:
    """Return the mark of an interval that covers no noise of test examples, empty if it does."""
    return "" if estimate is None or EXAMPLES in estimate.covers else " ‡"


def signed(metric: str, value: float, bounds: Interval | None) -> str:
    """Return a difference's value with its unit and interval, ``+5.0 pp [+3.0, +7.0]``."""
    text = number(metric, value, signed=True) + unit(metric, difference=True)
    return f"{text} {interval(metric, bounds, signed=True)}"


def mean_of(seeds: int) -> str:
    """Return ``one seed`` or ``mean of 3 seeds``."""
    return "one seed" if seeds == 1 else f"mean of {seeds} seeds"


def p_value(p: float | None) -> str:
    """Return a p-value with three decimals, ``0.040`` or ``< 0.001``."""
    if p is None:
        return ABSENT
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def quantity(measured: Quantity | None) -> str:
    """Return a quantity with its interval, ``0.5 [0.25, 0.75]`` or ``−2323 [−2351, −2295]``."""
    if measured is None or not measured.sampled:
        return "missing" if measured is None else _minus(f"{measured.value:.4g}")
    value, low, high = (
        _minus(f"{x:.0f}" if 1000 <= abs(x) < 1e6 else f"{x:.3g}")
        for x in (measured.value, *measured.interval)
    )
    return f"{value} [{low}, {high}]"


def predicted(bounds: Interval) -> str:
    """Return a range in words, ``at least 0.5`` or ``−1 to 2``."""
    low, high = (_minus(f"{bound:g}") for bound in bounds)
    if bounds.low == float("-inf"):
        return f"at most {high}"
    return f"at least {low}" if bounds.high == float("inf") else f"{low} to {high}"


def compared(metric: str, sides: Sequence[Side], label: Callable[[str], str]) -> str:
    """Return what a claim compares, ``test accuracy, raw outputs (own) − cross-entropy (own)``."""
    names = [f"{label(side.arm)} ({_RATES[side.rate]})" for side in sides]
    pairs = [" − ".join(pair) for pair in (names[:2], names[2:]) if pair]
    return f"{metric_name(metric)}, {', beyond '.join(pairs)}"


def predicted_difference(metric: str, direction: str, smallest_effect: float) -> str:
    """Return a predicted difference, ``> +1.0 pp`` or ``within ±1.0 pp``."""
    sign = {"less": "< −", "greater": "> +", "equal": "within ±"}[direction]
    return sign + number(metric, smallest_effect) + unit(metric, difference=True)


def _minus(text: str) -> str:
    """Return a number with a minus sign in place of a leading hyphen; exponents keep theirs."""
    return text.replace("-", "−", 1) if text.startswith("-") else text
