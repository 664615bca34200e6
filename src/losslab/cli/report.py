"""``losslab report``."""

from pathlib import Path

from losslab.cli.command import new_parser, parse
from losslab.text import Console


def run(arguments: list[str]) -> int:
    """Report on the runs that are there."""
    from losslab import report

    parser = new_parser(
        "report",
        "Report on the runs that are there, finished or not, and write the means over their seeds "
        "for TensorBoard.",
    )
    parser.add_argument("path", type=Path, help="of a study, a sweep or all studies")
    parser.add_argument("--to", type=Path, help="write report.md, results.json, figures there")
    given = parse(parser, arguments)
    report.write(given.path, console=Console(), out=given.to)
    return 0
