"""Configurations: equal ones are one run, a user's own parts are taken, and files are bounded."""

import pytest

from bad import check
from running import TINY, read

ONE_STEP = "trainer.steps=1"
PARTS = """\
import torch
from losslab.data import synthetic

class Plain(torch.optim.SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr=lr)

class Handed(torch.optim.SGD):
    def __init__(self, params, **options):
        super().__init__(params, **options)

class Scaled(torch.nn.Module):
    def __init__(self, factor=2.0):
        super().__init__()
        self.factor = factor
    def forward(self, logits, target):
        return self.factor * torch.nn.functional.cross_entropy(logits, target, reduction="none")

def slower(progress, power):
    return (1 - progress) ** power

def blobs(noise):
    return synthetic(noise=noise)
"""
CHOICES = {
    "optimizer/plain": "_target_: parts.Plain\n_partial_: true\nlr: 0.1\n",
    "optimizer/handed": "_target_: parts.Handed\n_partial_: true\nlr: 0.1\n",
    "loss/scaled": "_target_: parts.Scaled\nfactor: 1\n",
    "schedule/slower": "_target_: parts.slower\n_partial_: true\npower: 2\n",
    "data/blobs": "_target_: losslab.data.load\nsource: {_target_: parts.blobs, _partial_: true}\n"
    "dataset: blobs\nnoise: 0.2\nval_size: 128\n",
}
OWN = ("--config-dir", "conf")


@pytest.fixture
def own(losslab):
    """A command line beside parts of a user's own."""
    (losslab.folder / "parts.py").write_text(PARTS)
    for name, text in CHOICES.items():
        write(losslab.folder, name, text)
    return losslab


def write(folder, name: str, text: str) -> None:
    path = folder / "conf" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "equal",
    [
        ("optimizer.lr=1,1.0,1e0",),
        ("optimizer.weight_decay=0,0.0,-0.0",),
        ("data.label_noise=0,0.0",),
        ("data.source.noise=1,1.0",),
        ("model.output_scale=1,1.0",),
        ("optimizer=adam", "optimizer.betas=[0,0.999],[0.0,0.999]"),
        ("loss=map_gaussian", "loss.prior.std=1,1.0"),
        ("loss=focal", "loss.gamma=2,2.0"),
        ("schedule=one_cycle", "schedule.final=0,0.0"),
        ("diagnostics=[margins,geometry],[geometry,margins]",),
        ("optimizer=handed", "optimizer.lr=1,1.0"),
        ("loss=scaled", "loss.factor=2,2.0"),
    ],
    ids=str,
)
def test_equal_configurations_are_one_run(own, equal):
    own.sweep(*OWN, *equal, ONE_STEP)
    assert len(own.runs()) == 1


def test_equal_searches_are_one(losslab):
    losslab.sweep(
        *("sweeper=optuna", "sweeper.trials=2", "optimizer.lr=interval(0.1,1)"),
        *("model.output_scale=1,1.0", ONE_STEP),
    )
    assert len(read(losslab.folder / "outputs/runs/search.json")) == 1


def test_a_number_in_another_form_is_the_run_that_is_there(losslab):
    losslab.train(ONE_STEP)
    config = (losslab.runs()[0] / "config.yaml").read_text()
    again = losslab.train(ONE_STEP, "optimizer.weight_decay=0", "data.label_noise=0")
    assert "already finished" in again.out
    losslab.train(ONE_STEP, "optimizer.weight_decay=0", "force=true")
    assert (losslab.runs()[0] / "config.yaml").read_text() == config.replace(
        "force: false", "force: true"
    )
    losslab.train(ONE_STEP, "data.val_size=0.25")  # a share, where an integer is a count
    assert len(losslab.runs()) == 2


@pytest.mark.parametrize("choice", ["optimizer=plain", "schedule=slower", "data=blobs"])
def test_arguments_without_defaults(own, choice):
    own.train(*OWN, choice, ONE_STEP)
    assert len(own.runs()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("varied", "runs"),
    [
        (("optimizer=adam,adamw", "optimizer.betas=[0.8,0.9]"), 2),
        (("model=linear,mlp", "data.source.noise=0.1,0.3"), 4),
        (("data=synthetic,blobs", "data.val_size=64"), 2),
    ],
    ids=str,
)
def test_a_key_that_the_usual_choice_lacks(own, varied, runs):
    own.sweep(*OWN, *varied, ONE_STEP)
    assert len(own.runs()) == runs


@pytest.mark.slow
@pytest.mark.parametrize("name", ["[red]x[/red]", "x[/red]", ":car: (1)", "Größe"])
def test_a_folder_is_printed_as_it_is_called(losslab, name):
    single = losslab.train(ONE_STEP, f'output_dir="{name}"')
    assert f"{name}/runs/" in single.out
    swept = losslab.sweep(ONE_STEP, f'output_dir="{name}"', "seed=1")
    assert f"{name}/runs" in swept.out
    assert len(list((losslab.folder / name).glob("runs/*/seed=*"))) == 2


def test_home(losslab, monkeypatch):
    monkeypatch.setenv("HOME", str(losslab.folder / "home"))
    losslab.train(ONE_STEP, 'output_dir="~/x"')
    assert list((losslab.folder / "home" / "x").glob("runs/*/seed=0"))


def growing(reference: str) -> str:
    lines = [f"a{i}: {reference.format(f'${{.a{i - 1}}}')}\n" for i in range(1, 12)]
    return "_target_: losslab.losses.CrossEntropy\na0: ten-letter\n" + "".join(lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &a [1]\n" + "".join(
            f"x{i}: &{new} [{','.join(9 * [f'*{old}'])}]\n"
            for i, (old, new) in enumerate(zip("abcdefg", "bcdefgh", strict=True))
        ), "10000 values"),
        ("a: &a [*a]\n", "10000 values"),
        ("[" * 100_000, "100 levels"),
        ("#" * 2**20 + "\n", "1048576 bytes"),
        (growing("{0}{0}{0}{0}"), "references"),
        (growing("['{0}','{0}','{0}','{0}']"), "references"),
        (growing("{{b: ['{0}','{0}'], c: ['{0}','{0}']}}"), "references"),
        ("a: 'x", "mine.yaml"),
    ],
    ids=["references", "endless", "deep", "large", "text", "list", "tree", "cut off"],
)  # fmt: skip
def test_a_strangers_loss_does_not_fill_the_memory(losslab, text, says):
    write(losslab.folder, "loss/mine", text)
    check(losslab, ("train", *OWN, *TINY, "loss=mine"), (says,))


def test_what_a_custom_choice_sets_beside_its_group(losslab):
    """It is honoured or refused: the files that are composed later may set it again."""
    mine = "# @package _global_\nloss: {_target_: losslab.losses.Focal, gamma: 1e-1}\n"
    for more in ("seed: 3", "name: x", "optimizer: {lr: 0.5}", "hydra: {run: {dir: x}}"):
        write(losslab.folder, "loss/mine", f"{mine}{more}\n")
        key = more.replace(": {", ".").partition(":")[0]
        check(losslab, ("train", *TINY, "loss=mine", *OWN), ("mine.yaml", key))
    # Typed as well, or nothing else sets it.
    write(losslab.folder, "loss/mine", f"{mine}seed: 3\n")
    losslab.train("loss=mine", *OWN, "seed=4")
    write(losslab.folder, "more/usual", "# @package _global_\ndefaults: [{override /loss: mse}]\n")
    losslab.train("+more=usual", *OWN)
    assert [run.parent.name.split("-")[0] for run in losslab.runs()] == ["mine", "mse"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hydra", "says"),
    [
        ("{sweeper: {params: {seed: '0,1'}}}", ("hydra.sweeper.params.seed=0,1", "-m")),
        ("{mode: MULTIRUN}", ("hydra.mode=MULTIRUN", "add -m")),
        ("{run: {dir: x}}", ("hydra.run.dir=x", "output_dir")),
        ("{sweep: {dir: x}}", ("hydra.sweep.dir=x", "output_dir")),
        ("{sweep: {subdir: x}}", ("hydra.sweep.subdir=x", "output_dir")),
        ("{output_subdir: x}", ("hydra.output_subdir=x",)),
        ("{job: {env_set: {HOME: x}}}", ("hydra.job.env_set.HOME=x", "shell")),
        ("{job: {chdir: true}}", ("hydra.job.chdir=true", "output_dir")),
        ("{searchpath: ['pkg://this']}", ("hydra.searchpath",)),
        ("{launcher: {command: x}}", ("more/all", "'command'")),
        ("{callbacks: {a: {_target_: hydra.experimental.callbacks.Callback}}}", ("no effect",)),
    ],
    ids=str,
)
def test_hydras_settings_in_a_file(losslab, hydra, says):
    text = f"# @package _global_\nhydra: {hydra}\n"
    write(losslab.folder, "more/all", text)
    write(losslab.folder, "more/nothing", "# @package _global_\nseed: 1\n")
    check(losslab, ("train", *OWN, *TINY, "+more=all"), says)
    check(losslab, ("train", "-m", *OWN, *TINY, "+more=nothing,all"), says)
