"""Metric selectors: ``<tag>@<selector>`` names a number of a tag's values while training."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from losslab.recording import Run
from losslab.text import nearest


class Selector(NamedTuple):
    """What it is in words, and the number that it selects."""

    words: str
    select: Callable[[Sequence[float]], float]


SELECTORS: Mapping[str, Selector] = {
    "start": Selector("before training", lambda values: values[0]),
    "mean": Selector("mean over training", lambda values: sum(values) / len(values)),
    "max": Selector("largest while training", max),
    "min": Selector("smallest while training", min),
    "fall": Selector("fall from best to last epoch", lambda values: max(values) - values[-1]),
}
"""Over the evaluations (before training and after each epoch) that recorded the tag. Without a
selector a metric is the final number."""


def split(metric: str) -> tuple[str, str]:
    """Return tag and selector of a metric; ``ValueError`` for an unknown selector.

    >>> split("val/accuracy@fall"), split("test/nll")
    (('val/accuracy', 'fall'), ('test/nll', ''))
    """
    tag, _, selector = metric.partition("@")
    if selector and selector not in SELECTORS:
        raise ValueError(
            f"metric {metric!r}{nearest(selector, SELECTORS)}; give one of {', '.join(SELECTORS)} "
            "behind the @"
        )
    return tag, selector


def number(run: Run, metric: str) -> float | None:
    """Return a metric of a run, finished or not; ``None`` where it was not recorded."""
    tag, selector = split(metric)
    recorded = [record[tag] for record in run.evaluations if tag in record]
    if selector:
        return SELECTORS[selector].select(recorded) if recorded else None
    if tag in run.summary:
        return run.summary[tag]
    return recorded[-1] if recorded and run.status == "diverged" else None
