"""The README's code and commands, word for word."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from torch import nn

from running import read, results, status

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    assert found
    return found


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    words = [shlex.split(line.removeprefix("uv run "), comments=True) for line in lines]
    return [line[1:] for line in words if line[:1] == ["losslab"]]


def test_the_losses_alone():
    (alone,) = (block for block in blocks("python") if "MAP" in block)
    model = nn.Linear(4, 3)
    labels = torch.tensor([0, 2])
    namespace = {"model": model, "logits": model(torch.ones(2, 4)), "labels": labels}
    exec(alone, namespace)
    negative_log = nn.functional.cross_entropy(namespace["logits"], labels)
    penalty = sum(p.square().sum() for p in model.parameters()) / (2 * 0.2**2 * 60_000)
    torch.testing.assert_close(namespace["value"], negative_log + penalty)


def test_a_loss_of_ones_own(losslab):
    (loss,) = (block for block in blocks("python") if "class " in block)
    (choice,) = blocks("yaml")
    (losslab.folder / "my_loss.py").write_text(loss)
    (losslab.folder / "my_conf" / "loss").mkdir(parents=True)
    (losslab.folder / "my_conf" / "loss" / "poly.yaml").write_text(choice)
    (command,) = re.findall(r"`losslab (train -m --config-dir my_conf .*?)`", README)
    _, _, *overrides = command.split()
    result = losslab.sweep(*overrides)
    assert "6 done, 0 failed" in result.out
    poly = [run for run in losslab.runs() if run.parent.name.startswith("poly")]
    assert [status(run) for run in poly] == 3 * ["done"]
    assert min(read(run / "summary.json")["test/accuracy"] for run in poly) > 0.9
    assert len((loss + choice).split("\n")) < 10
    # The command in a run's manifest makes that run again.
    before = results(poly[0])
    _, *again = shlex.split(read(poly[0] / "manifest.json")["command"])
    assert losslab.call(*again, "force=true").code == 0
    assert results(poly[0]) == before


def first_of(override: str) -> str:
    """Return a sweep's first run's override: of a,b,c, and of interval(a,b) and its like."""
    key, _, value = override.partition("=")
    within = re.search(r"\(([\d.]+)", value)
    if within:
        return f"{key}={within.group(1)}"
    return override if value.startswith("{") else override.split(",")[0]


@pytest.mark.parametrize("command", [c for c in commands() if c[0] == "train"], ids=" ".join)
def test_every_command_composes(losslab, command):
    plain = [first_of(word) for word in command if word != "-m"]
    result = losslab.call(*plain, "--cfg", "job")
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize("command", [c for c in commands() if c[0] != "train"], ids=" ".join)
def test_every_other_command_is_there(losslab, command):
    if command[0] == "study":
        assert command[1] in losslab.call("list", "study").out
    else:
        assert losslab.call(command[0], "--help").code == 0
