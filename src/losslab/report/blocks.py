"""What the reports of studies and of sweeps have in common."""

from collections.abc import Mapping

from losslab.report import formatting as show
from losslab.report.document import Block, Listing, Paragraph, Table
from losslab.report.findings import Census, Measured

PROBABILITIES = (
    "Probabilities are read the same way for every loss: the softmax of the network's outputs, "
    "also where the loss itself never applies one. ECE: 15 bins of equal width."
)
EDGE = "§"
EDGE_NOTE = f"{EDGE} A best value at the edge of its grid: a better one may lie beyond."


def measured_text(metric: str, measured: Measured) -> str:
    """Return an estimate with its interval, or why there is none."""
    found = measured.estimate
    if found is None:
        return "not finite" if measured.without else show.ABSENT
    mark = "" if found.covers == "seeds and test examples" else " ‡"
    return show.estimate(metric, found) + mark


def n_text(measured: Measured) -> str:
    """Return how many runs count, of how many if not all, and how many of them diverged."""
    n = measured.estimate.n if measured.estimate else 0
    text = f"{n}" if n == measured.planned else f"{n} of {measured.planned}"
    if measured.without:
        text += f", {measured.without} not finite"
    return f"{text}, {measured.diverged} diverged" if measured.diverged else text


def census_blocks(census: Census) -> tuple[Block, ...]:
    """Count the runs by state and name all that are not simply done."""
    blocks: list[Block] = [
        Paragraph(
            f"Runs: {census.expected} expected, {census.done} done, "
            f"{len(census.diverged)} diverged, {len(census.failed)} failed, "
            f"{len(census.damaged)} damaged, {len(census.running)} running or interrupted, "
            f"{len(census.missing)} missing."
        )
    ]
    listed = {
        "diverged": census.diverged,
        "failed": census.failed,
        "damaged": census.damaged,
        "running or interrupted": census.running,
        "missing": census.missing,
    }
    lines = tuple(f"{state}: {name}" for state, group in listed.items() for name in group)
    return (*blocks, Listing(lines)) if lines else tuple(blocks)


def environment_table(environment: Mapping[str, tuple[str, ...]]) -> Table:
    """List versions, hardware and commits; several values where the runs differ."""
    rows = tuple((key, "; ".join(values)) for key, values in environment.items())
    return Table(("", "of the runs"), rows, text_columns=2, fine_print=True)
