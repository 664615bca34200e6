"""What of a number's course through training is meant: ``<tag>@<course>``, its end without one."""

from collections.abc import Callable, Mapping, Sequence

COURSES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "start": lambda values: values[0],
    "mean": lambda values: sum(values) / len(values),
    "max": max,
    "min": min,
    "fall": lambda values: max(values) - values[-1],
}
"""Over the evaluations (before training and after each epoch) that recorded the tag: the first,
the mean of all, the largest, the smallest, and how far the last lies below the largest."""

WORDS = {
    "start": "before training",
    "mean": "mean over training",
    "max": "largest while training",
    "min": "smallest while training",
    "fall": "fall from best to last epoch",
}


def split(metric: str) -> tuple[str, str]:
    """Return tag and course of a metric.

    Raises:
        ValueError: An unknown course.

    >>> split("val/accuracy@fall"), split("test/nll")
    (('val/accuracy', 'fall'), ('test/nll', ''))
    """
    tag, _, course = metric.partition("@")
    if course and course not in COURSES:
        raise ValueError(f"metric {metric!r}; give one of {', '.join(COURSES)} behind the @")
    return tag, course
