"""Measures of the study ``identities``: what the seed document says, row by row."""

from losslab.figures import Drawing, Panel
from losslab.report.measurement import Quantity


def exact(value: float, n: int, what: str) -> Quantity:
    """Return a number that is computed rather than sampled, and so has no interval."""
    return Quantity(value=value, n=n, what=what)


def figure(name: str, caption: str, *panels: Panel) -> list[Drawing]:
    """Return one figure of panels side by side."""
    return [Drawing(name=name, caption=caption, panels=list(panels))]
