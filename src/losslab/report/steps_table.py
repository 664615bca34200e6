"""The table of a waterfall's steps."""

from losslab.report import formatting as show
from losslab.report.document import Table
from losslab.report.findings import ACCURACY, Findings


def steps_table(findings: Findings) -> Table:
    """List the stops with what each adds."""
    rows = [
        (
            found.step.label,
            f"{findings.plan.label(found.step.side.arm)} ({found.step.side.rate})",
            show.estimate(ACCURACY, found.level),
            show.difference(ACCURACY, found.change) if found.change else "",
            show.p_value(found.change.p) if found.change else "",
            str(found.level.n) if found.level else show.ABSENT,
        )
        for found in findings.steps
    ]
    return Table(
        ("step", "side", "test accuracy", "change from the row above", "p", "n"),
        tuple(rows),
        text_columns=2,
        terminal=(0, 2, 3, 5),
    )
