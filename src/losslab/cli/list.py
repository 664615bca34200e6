"""``losslab list``."""

from losslab.cli.command import new_parser, parse
from losslab.text import Console


def run(arguments: list[str]) -> int:
    """List what can be chosen."""
    from losslab.experiment import Composer
    from losslab.experiment.describe import describe, groups
    from losslab.experiment.overrides import nearest

    parser = new_parser("list", "List what can be chosen.")
    parser.add_argument("group", nargs="?", help="loss, data, model, optimizer, study, ...")
    given = parse(parser, arguments)
    console = Console()
    with Composer() as composer:
        known = groups()
        wanted = given.group and {"losses": "loss", "studies": "study"}.get(
            given.group, given.group if given.group in known else given.group.removesuffix("s")
        )
        if wanted and wanted not in known:
            raise ValueError(
                f"unknown group {given.group!r}{nearest(given.group, known)}; allowed are "
                f"{', '.join(known)}"
            )
        for group in [wanted] if wanted else known:
            console.print(f"[bold]{group}=[/bold]", highlight=False)
            lines = describe(composer, group)
            width = max(map(len, lines))
            for choice, line in lines.items():
                text = f"  {choice:{width}}  {line}"
                console.print(text, soft_wrap=True, highlight=False, markup=False)
    return 0
