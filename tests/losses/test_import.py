"""The losses are usable alone, at no more than the price of importing torch."""

import subprocess
import sys

import pytest

CODE = """
import sys, torch
before = set(sys.modules)
import losslab.losses
new = {name for name in set(sys.modules) - before if not name.startswith("losslab.losses")}
print(*sorted(new - set(sys.stdlib_module_names)))
"""


@pytest.mark.slow
def test_importing_the_losses_loads_nothing_beyond_torch():
    command = [sys.executable, "-c", CODE]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    # A name below torch would be a part that "import torch" leaves out, such as its compiler; one
    # below losslab a package that a copy of the folder would need.
    assert result.stdout.split() == ["losslab"]
