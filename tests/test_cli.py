"""The commands tell what they are asked for, and write nothing but runs."""

from importlib import metadata
from pathlib import Path

import pytest

from losslab.cli.commands import COMMANDS
from losslab.report.runs import load_runs
from report.factory import write_run
from running import status


def test_the_shell_completes(losslab, monkeypatch):
    expected = {
        "losslab ": " ".join(COMMANDS),
        "losslab st": "study",
        "losslab train loss=me": "loss=mean_absolute_error",
        "losslab train loss=mse optimizer.moment": "optimizer.momentum=",
        "losslab train optimizer=adam optimizer.b": "optimizer.betas=",
        "losslab train -m loss=mse,bri": "loss=mse,brier",
        "losslab train +re": "+recipe=",
        "losslab train --mul": "--multirun",
        "losslab train data.lr.": "",
        "losslab study why": "why_squared_error",
        "losslab verify budget trainer.ep": "trainer.epochs=",
        "losslab data mnist": "mnist mnist5k",
        "losslab list lo": "loss",
        "losslab nonsense x": "",
        "losslab runs --": "--delete --yes",
        "losslab report outputs --la": "--latex",
        "losslab best outp": "outputs/",
        "losslab compare outputs/": "outputs/rates/",
        "losslab runs outputs/rates/mse": "outputs/rates/mse-lr=0.1-0a/",
        "losslab best outputs/rates --by val/": "val/accuracy",
        "losslab best nowhere/ --by val/": "",
        "losslab best nowhere/": "",
    }
    write_run(losslab.folder / "outputs" / "rates", "mse-lr=0.1-0a/seed=0")
    (losslab.folder / "outputs" / "rates" / "figures").mkdir()
    for line, words in expected.items():
        monkeypatch.setenv("COMP_LINE", line)
        result = losslab.call("-sc", "query=bash")
        assert (result.code, " ".join(result.out.split()), result.err) == (0, words, "")
    monkeypatch.delenv("COMP_LINE")
    assert "complete -o nospace" in losslab.call("-sc", "install=bash").out


def test_version(losslab):
    assert losslab.call("--version").out == f"losslab {metadata.version('losslab')}\n"


def test_usage(losslab):
    for arguments, code in (((), 2), (("--help",), 0), (("-h",), 0)):
        result = losslab.call(*arguments)
        assert (result.code, result.err) == (code, "")
        assert "losslab study why_squared_error" in result.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "shows"),
    [
        (("--cfg", "job"), "losslab.losses.SquaredError"),
        (("--cfg", "job", "data=digit_pairs"), "number_of_classes.rows.pairs"),  # of a study
        (("--help",), "optimizer"),
        (("--help",), "losslab train loss=mse optimizer.lr=0.3"),
        (("--info", "defaults"), "cross_entropy"),
        (("--hydra-help",), "--multirun"),
    ],
)
def test_hydras_flags_tell_and_run_nothing(losslab, arguments, shows):
    result = losslab.call("train", *arguments, "loss=mse") if arguments[0] == "--cfg" else (
        losslab.call("train", *arguments)
    )  # fmt: skip
    assert result.code == 0
    assert shows in result.out
    assert list(losslab.folder.iterdir()) == []


@pytest.mark.parametrize("group", ["losses", "loss", "data", "models", "studies", "schedule"])
def test_the_list_has_every_choice_with_a_line(losslab, group):
    result = losslab.call("list", group)
    assert (result.code, result.err) == (0, "")
    folder = {"losses": "loss", "models": "model", "studies": "study"}.get(group, group)
    conf = Path(__file__).parents[1] / "conf" / folder
    lines = {line.split()[0]: line.split()[1:] for line in result.out.splitlines()[1:]}
    for path in conf.glob("*.yaml"):
        assert len(lines[path.stem]) > 2, path.stem


def test_the_list_shows_formulas_as_they_are(losslab):
    shown = " ".join(losslab.call("list", "loss").out.split())
    assert "[k (z_y − M)² + Σ_{i≠y} z_i²]/K" in shown


def test_the_list_has_the_choices_of_a_folder(losslab):
    mine = losslab.folder / "my_conf" / "loss" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("# A loss of mine\n_target_: mine.Mine\n")
    result = losslab.call("list", "loss", "--config-dir", "my_conf")
    assert result.code == 0
    assert "  mine                        A loss of mine\n" in result.out


def test_the_list_of_everything_names_every_group(losslab):
    result = losslab.call("list")
    assert result.code == 0
    for path in (Path(__file__).parents[1] / "conf").iterdir():
        if path.is_dir():
            assert f"{path.name}=" in result.out


def test_a_run_tells_its_test_numbers_and_where_it_is(losslab):
    result = losslab.train()
    (run,) = losslab.runs()
    first, second = result.out.splitlines()
    assert first.startswith("done: test accuracy ")
    assert [word for word in ("nll", "brier", "ece") if word not in first] == []
    assert second == str(run.relative_to(losslab.folder))
    assert result.err == ""  # no bar where nobody looks
    assert status(run) == "done"
    assert len(load_runs(losslab.folder / "outputs")) == 1


def test_nothing_is_written_but_the_run(losslab):
    losslab.train()
    (run,) = losslab.runs()
    written = {path for path in losslab.folder.rglob("*") if path.is_file()}
    assert {path.parent for path in written} == {run}
