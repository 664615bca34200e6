"""The README's and the guides' code and commands, word for word."""

import re
import shlex
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch
from torch import nn

from running import TINY, read, results, status

ROOT = Path(__file__).parents[1]
GUIDES = ROOT / "experiments" / "guides"
PAGES = {path.name: path.read_text("utf-8") for path in (ROOT / "README.md", *GUIDES.glob("*.md"))}
README, OWN_PARTS = PAGES["README.md"], PAGES["own_parts.md"]


def blocks(language: str, page: str = README) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)
    assert found
    return found


def commands(page: str) -> list[list[str]]:
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)
             for line in block.splitlines()]  # fmt: skip
    words = [shlex.split(line.removeprefix("uv run "), comments=True) for line in lines]
    return [line[1:] for line in words if line[:1] == ["losslab"]]


EVERY = list({tuple(command): command for page in PAGES.values() for command in commands(page)})


def files(page: str) -> dict[str, str]:
    """Return name to content of the files that a page shows, each name above its block."""
    return dict(re.findall(r"`(my_conf/[\w/.]+)`:\n\n```\w+\n(.*?)```", page, flags=re.DOTALL))


@pytest.fixture
def my_conf(losslab):
    """The folder of the page on custom parts, in the working folder."""
    for name, text in files(OWN_PARTS).items():
        path = losslab.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return losslab.folder / "my_conf"


def test_the_losses_alone():
    (alone,) = (block for block in blocks("python") if "MAP" in block)
    model = nn.Linear(4, 3)
    labels = torch.tensor([0, 2])
    namespace = {"model": model, "logits": model(torch.ones(2, 4)), "labels": labels}
    exec(alone, namespace)
    negative_log = nn.functional.cross_entropy(namespace["logits"], labels)
    penalty = sum(p.square().sum() for p in model.parameters()) / (2 * 0.2**2 * 60_000)
    torch.testing.assert_close(namespace["value"], negative_log + penalty)


@pytest.mark.slow
def test_the_python_api(losslab, capsys):
    (lines,) = (block for block in blocks("python") if "import losslab\n" in block)
    # Small runs, and a study whose results are here.
    small = re.sub(r"losslab\.(train|sweep)\(", r"losslab.\1(*TINY, ", lines)
    small = small.replace('losslab.study("', 'losslab.load_study(STUDIES / "')
    assert len(lines.splitlines()) <= 12
    namespace = {"TINY": TINY, "STUDIES": ROOT / "experiments"}
    exec(small, namespace)
    table, out = namespace["table"], capsys.readouterr().out
    assert len(table) == 12  # the first run is one of the sweep's
    assert set(table["status"]) == {"done"}
    assert "supported" in out


def test_the_recipe_for_mlflow_logs_every_run(losslab, monkeypatch):
    """Against a double: the real one is no dependency, and the page says that it was tried."""
    losslab.sweep("seed=0,1", "diagnostics=none", "name=rates")
    mlflow = MagicMock()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setattr(sys, "argv", ["to_mlflow.py", "outputs/rates"])
    exec(blocks("python", PAGES["elsewhere.md"])[0], {})
    assert mlflow.set_experiment.call_args.args == ("rates",)
    assert [call.args[0]["seed"] for call in mlflow.log_params.call_args_list] == [0, 1]
    *at_steps, final = mlflow.log_metrics.call_args_list[: mlflow.log_metrics.call_count // 2]
    assert "test/accuracy" in final.args[0]
    assert at_steps
    assert any("val/accuracy" in call.args[0] for call in at_steps)


@pytest.mark.slow
@pytest.mark.parametrize("command", commands(OWN_PARTS), ids=" ".join)
def test_every_custom_part_runs(losslab, my_conf, command):
    at = next((i for i, word in enumerate(command) if "=" in word), len(command))
    # Small, but where the command itself says otherwise.
    small = {"data": (), "train": TINY, "study": (*TINY, "study.base=[]")}[command[0]]
    result = losslab.call(*command[:at], *small, *command[at:])
    assert (result.code, result.err) == (0, "")
    if command[0] == "data":
        assert "2 classes" in result.out
        return
    runs = losslab.runs("poly" if command[0] == "study" else "runs")
    assert runs
    assert {status(run) for run in runs} == {"done"}
    assert any("_target_: my_" in (run / "config.yaml").read_text() for run in runs)
    tags = {tag.rpartition("/")[0] for tag in read(runs[0] / "summary.json")}
    looked = re.findall("top2|entropy", command[-1]) if "diagnostics=" in command[-1] else []
    assert {f"why/{name}" for name in looked} <= tags
    if command[0] == "study":
        claims = read(losslab.folder / "outputs" / "poly" / "results.json")["claims"]
        assert {claim["id"] for claim in claims} == {"higher", "few_errors"}


def test_a_custom_loss_learns_and_is_repeated_by_its_manifest(losslab, my_conf):
    (command,) = (c for c in commands(OWN_PARTS) if "loss=poly,cross_entropy" in c)
    assert "6 done, 0 failed" in losslab.sweep(*command[2:]).out
    poly = [run for run in losslab.runs() if run.parent.name.startswith("poly")]
    assert [status(run) for run in poly] == 3 * ["done"]
    assert min(read(run / "summary.json")["test/accuracy"] for run in poly) > 0.9
    mine = files(OWN_PARTS)
    assert len((mine["my_conf/my_loss.py"] + mine["my_conf/loss/poly.yaml"]).split("\n")) < 10
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
    return override if value[:1] in ("{", "[") else override.split(",")[0]


@pytest.mark.parametrize("command", [c for c in EVERY if c[0] == "train"], ids=" ".join)
def test_every_command_composes(losslab, my_conf, command):
    plain = [first_of(word) for word in command if word != "-m"]
    result = losslab.call(*plain, "--cfg", "job")
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize("command", [c for c in EVERY if c[0] != "train"], ids=" ".join)
def test_every_other_command_is_there(losslab, command):
    if command[0] == "study":
        assert command[1] in losslab.call("list", "study").out or "--config-dir" in command
    else:
        assert losslab.call(command[0], "--help").code == 0


def test_the_tables_of_files_name_every_file_once():
    page = (ROOT / ".github" / "CONTRIBUTING.md").read_text("utf-8")
    _, run, claim = re.split(r"\*\*A (?:run|claim)\*\*", page.partition("## Add a loss")[0])
    for way in (run, claim):
        files = re.findall(r"`([\w/]+\.py)`", way)
        assert len(files) > 10
        assert len(files) == len(set(files))
        assert [file for file in files if not (ROOT / "src" / "losslab" / file).is_file()] == []
