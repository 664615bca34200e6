"""``losslab train``."""

from losslab.cli.command import find_own_modules, outcome, parse


def run(arguments: list[str]) -> int:
    """Train one run, or with ``-m`` a sweep."""
    find_own_modules()
    from losslab.experiment.hydra_app import tell, tells
    from losslab.experiment.hydra_private import flags

    parser = flags()
    parser.prog = "losslab train"
    given = parse(parser, arguments, mixed=True)
    # Hydra reads no overrides after a flag that follows some.
    flags_first = list(arguments)
    for override in given.overrides:
        flags_first.remove(override)
    words = [*flags_first, *given.overrides]
    if tells(given):
        tell(given, words)
        return 0
    from losslab.sweepers.train import train

    return outcome(lambda: train(given))
