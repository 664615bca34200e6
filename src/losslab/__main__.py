"""``python -m losslab`` is ``losslab``."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # the working folder: it comes last, and only where something is trained

from losslab.cli import main

main()
