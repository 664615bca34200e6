"""Sweepers decide the runs of a sweep: a grid, or a search."""

from losslab.sweepers.base import Grid, Sweep, Sweeper, axes, combinations, reject_sweeper_overrides
from losslab.sweepers.search import Optuna

__all__ = ["Grid", "Optuna", "Sweep", "Sweeper", "axes", "combinations", "reject_sweeper_overrides"]
