"""Every combination of the values listed."""

from typing import final

from losslab.recording import Run
from losslab.sweepers.base import Sweep, Sweeper, combinations


@final
class Grid(Sweeper):
    """Every combination of the values listed, as Hydra's basic sweeper makes them."""

    def run(self, sweep: Sweep) -> list[Run]:
        """Check all runs, then do those that are not finished."""
        runs = sweep.plan(combinations(sweep.overrides))
        if not sweep.do(runs, "sweep"):
            sweep.console.print(
                f"all {len(runs)} runs are already finished; force=true trains them again",
                soft_wrap=True,
            )
        return runs
