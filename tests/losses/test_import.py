"""The losses are usable alone, at no more than the price of importing torch."""

import subprocess
import sys

CODE = """
import sys, torch
before = set(sys.modules)
import losslab.losses
new = {name.split(".")[0] for name in set(sys.modules) - before}
print(*sorted(new - set(sys.stdlib_module_names)))
"""


def test_importing_the_losses_loads_nothing_beyond_torch():
    command = [sys.executable, "-c", CODE]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    # "torch" would mean a part of it that "import torch" leaves out, such as its compiler.
    assert result.stdout.split() == ["losslab"]
