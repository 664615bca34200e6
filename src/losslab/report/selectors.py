"""Metric selectors: ``<tag>@<selector>`` reduces a tag's values during training to a number."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from losslab.recording import Run
from losslab.text import nearest

_MOST_NAMED = 16  # metrics in a message


class Selector(NamedTuple):
    """A selector in words, and as a function of a tag's values."""

    words: str
    select: Callable[[Sequence[float]], float]


SELECTORS: Mapping[str, Selector] = {
    "start": Selector("before training", lambda values: values[0]),
    "mean": Selector("mean over training", lambda values: sum(values) / len(values)),
    "max": Selector("largest while training", max),
    "min": Selector("smallest while training", min),
    "fall": Selector("fall from best to last epoch", lambda values: max(values) - values[-1]),
}
"""By name. The values are those of the evaluations before training and after each epoch. Without a
selector, a metric is the final value."""


Goal = Literal["maximize", "minimize"]
_LOWER_IS_BETTER = ("nll", "brier", "ece", "objective", "likelihood")


def direction(metric: str) -> Goal | None:
    """Return the direction in which a metric improves, ``None`` if it has none.

    >>> direction("val/accuracy"), direction("why/calibration/ece_scaled"), direction("optim/lr")
    ('maximize', 'minimize', None)
    """
    tag, selector = split(metric)
    measure = tag.rpartition("/")[2].removeprefix("adaptive_").removesuffix("_scaled")
    if selector in ("start", "fall"):
        return None
    if measure == "accuracy":
        return "maximize"
    return "minimize" if measure in _LOWER_IS_BETTER else None


def check_recorded(metric: str, runs: Sequence[Run]) -> None:
    """Raise ``ValueError`` with the available metrics unless a finished run recorded this one."""
    tag = split(metric)[0]
    order = {"val": 0, "test": 1, "train": 2}
    known = sorted(
        {tag for run in runs for tag in run.summary if "/" in tag},
        key=lambda tag: (order.get(tag.partition("/")[0], 3), tag),
    )
    if tag not in known:
        shown = ", ".join([*known[:_MOST_NAMED], *["..."] * (len(known) > _MOST_NAMED)])
        raise ValueError(
            f"--by {metric}: no finished run recorded it{nearest(tag, known)}; "
            f"available: {shown or 'none yet'}"
        )


def split(metric: str) -> tuple[str, str]:
    """Split a metric into tag and selector; ``ValueError`` for an unknown selector.

    >>> split("val/accuracy@fall"), split("test/nll")
    (('val/accuracy', 'fall'), ('test/nll', ''))
    """
    tag, _, selector = metric.partition("@")
    if selector and selector not in SELECTORS:
        raise ValueError(
            f"metric {metric!r}{nearest(selector, SELECTORS)}; give one of {', '.join(SELECTORS)} "
            "after the @"
        )
    return tag, selector


def number(run: Run, metric: str) -> float | None:
    """Return a metric of a run, ``None`` if it was not recorded."""
    tag, selector = split(metric)
    values = [record[tag] for record in run.evaluations if tag in record]
    if selector:
        return SELECTORS[selector].select(values) if values else None
    if tag in run.summary:
        return run.summary[tag]
    return values[-1] if values and run.status == "diverged" else None
