"""``losslab evaluate``."""

import sys

from losslab.cli.command import find_own_modules, new_parser, parse


def run(arguments: list[str]) -> int:
    """Evaluate a finished run's model."""
    find_own_modules()
    from losslab.experiment import evaluate_run, quoted

    parser = new_parser(
        "evaluate",
        "Evaluate a finished run's final weights on each part of its own data, or of other data "
        "with as many classes and images of the same shape; they are normalised as in training.",
    )
    parser.add_argument("run", help="directory of a finished run, .../seed=N")
    parser.add_argument("overrides", nargs="*", help="data=..., data.KEY=..., trainer.device=...")
    parser.add_argument("--config-dir", help="a folder with more choices and the code they name")
    given = parse(parser, arguments, mixed=True)
    found = evaluate_run(given.run, [*map(quoted, given.overrides)], config_dir=given.config_dir)
    names = ("accuracy", "nll", "brier", "ece")
    lines = ["".join(f"{word:>10}" for word in ("part", "examples", *names))]
    for part, of in found.items():
        lines.append(f"{part:>10}{of['examples']:10.0f}" + "".join(f"{of[n]:10.4f}" for n in names))
    sys.stdout.write("\n".join([*lines, ""]))
    return 0
