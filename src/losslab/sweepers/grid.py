"""Every combination of the values listed."""

from typing import final

from losslab.experiment import RunIdentity
from losslab.sweepers.base import Sweep, Sweeper, combinations


@final
class Grid(Sweeper):
    """Every combination of the values listed, as Hydra's basic sweeper makes them."""

    def run(self, sweep: Sweep) -> list[RunIdentity]:
        """Check all runs, then do those that are not finished."""
        jobs = sweep.plan(combinations(sweep.overrides))
        if not sweep.do(jobs, "sweep"):
            sweep.console.print(
                f"all {len(jobs)} runs are already finished; force=true trains them again",
                soft_wrap=True,
            )
        return [job.identity for job in jobs]
