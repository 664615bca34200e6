"""The command line."""

import sys


def main() -> None:
    """Run the command line and exit."""
    flag, query = [*sys.argv[1:3], "", ""][:2]
    if flag in ("-sc", "--shell-completion") and query.startswith("query="):
        from losslab.cli.completion import answer

        answer()
        raise SystemExit(0)
    from losslab.cli.program import main as program  # loads rich and YAML, and TAB should not wait

    program()
