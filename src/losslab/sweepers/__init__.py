"""Which runs a sweep is made of: a grid, or a search."""

from losslab.sweepers.base import Sweep, Sweeper, axes, check, combinations
from losslab.sweepers.grid import Grid

__all__ = ["Grid", "Sweep", "Sweeper", "axes", "check", "combinations"]
