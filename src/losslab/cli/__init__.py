"""The command line."""

import sys


def main() -> None:
    """Run the command line and exit."""
    asked = sys.argv[1:3]
    if asked[:1] in (["-sc"], ["--shell-completion"]) and "".join(asked[1:]).startswith("query="):
        from losslab.cli.completion import answer

        answer()
        raise SystemExit(0)
    from losslab.cli.program import main as program  # loads rich and YAML, and TAB should not wait

    program()
