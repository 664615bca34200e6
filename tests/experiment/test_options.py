"""Every choice in conf trains; a new file there is tested without a line here."""

import inspect
import math
from pathlib import Path
from pydoc import locate

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

from losslab.experiment import Composer, choices_of, plan_run, prepare
from losslab.experiment.compose import flat, without_hydra
from running import read, records, status

CONF = Path(__file__).parents[2] / "conf"
TWO_STEPS = ("trainer.steps=2", "trainer.log_every=1")
LEAST = {"linear": (), "mlp": ("model.width=8",), "small_cnn": ("model.width=4",)}


def choices(group: str) -> list[str]:
    found = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    assert found
    return found


def check(run: Path, *, steps: int = 2) -> None:
    assert status(run) == "done"
    summary = read(run / "summary.json")
    assert summary["step"] == steps
    parts = {f"{part}/{name}" for part in ("train", "val", "test")
             for name in ("accuracy", "nll", "brier", "ece")}  # fmt: skip
    shown = {"train/objective", "train/likelihood", "train/prior"}
    shown |= {"optim/lr", "optim/grad_norm", "optim/weight_norm"}
    assert set(summary) >= parts | shown | {"step", "epoch"}
    assert all(math.isfinite(value) for value in summary.values())
    steps_recorded = [record["step"] for record in records(run)]
    assert steps_recorded == sorted(steps_recorded)
    assert steps_recorded[0] == 0
    predictions = load_file(run / "predictions.safetensors")
    mistakes, mistaken = (predictions.pop(f"val/{name}") for name in ("mistakes", "mistaken"))
    wrong = predictions["val/logits"].argmax(1) != predictions["val/labels"]
    assert len(mistakes) == len(mistaken) == min(15, int(wrong.sum()))
    assert bool(wrong[mistakes].all())
    assert {name: tuple(value.shape) for name, value in predictions.items()} == {
        "val/logits": (128, 4),
        "val/labels": (128,),
        "test/logits": (256, 4),
        "test/labels": (256,),
    }
    accuracy = (predictions["test/logits"].argmax(1) == predictions["test/labels"]).double()
    assert summary["test/accuracy"] == accuracy.mean().item()


@pytest.mark.parametrize("loss", choices("loss"))
def test_every_loss(losslab, loss):
    check(losslab.run(f"loss={loss}", *TWO_STEPS))


@pytest.mark.parametrize("model", choices("model"))
def test_every_model(losslab, model):
    check(losslab.run(f"model={model}", *LEAST.get(model, ("model.width=2",)), *TWO_STEPS))


def with_recipe(recipe: str, loss: str) -> list[str]:
    words = ["data=synthetic", "model=whitened_cnn", "model.width=2", "trainer.batch_size=32"]
    if loss.startswith("map_"):
        words.append("optimizer.weight_decay=0")
    return [f"+recipe={recipe}", f"loss={loss}", *words, *TWO_STEPS]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", choices("recipe"))
def test_every_recipe_is_tried_with_every_loss(recipe):
    """Its dry run has a step of training; whole runs follow below."""
    with Composer() as composer:
        for loss in choices("loss"):
            full = composer.compose(with_recipe(recipe, loss))
            run = plan_run(without_hydra(full), choices_of(full.hydra))
            built: dict[str, frozenset[str]] = {}
            prepare(run, built=built)
            assert "train/objective" in built[run.digest]


@pytest.mark.parametrize("recipe", choices("recipe"))
@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "map_gaussian"])
def test_every_recipe(losslab, recipe, loss):
    result = losslab.call("train", *with_recipe(recipe, loss))
    assert result.code == 0, result.err
    (run,) = losslab.runs()
    check(run)
    config = OmegaConf.load(run / "config.yaml")
    assert config.optimizer._target_ == "losslab.training.optimizers.nesterov"
    assert (config.data.augmentation.padding_mode, config.model.flip_average) == ("reflect", True)
    # Its manifest's command makes the same run.
    assert f"+recipe={recipe}" in read(run / "manifest.json")["command"]


def test_a_recipe_is_listed_as_it_is_typed(losslab):
    assert losslab.call("list", "recipe").out.startswith("+recipe=\n  cifar10_fast  CIFAR-10")
    assert "\n+recipe=\n" in losslab.call("list").out


@pytest.mark.slow
@pytest.mark.parametrize("diagnostics", choices("diagnostics"))
def test_every_diagnostic(losslab, diagnostics):
    noisy = ("data.label_noise=0.25", "model=small_cnn", "model.width=2")  # all have numbers then
    run = losslab.run(f"diagnostics={diagnostics}", *noisy, *TWO_STEPS)
    check(run)
    seen = {tag.split("/")[1] for tag in read(run / "summary.json") if tag.startswith("why/")}
    wanted = OmegaConf.load(run / "config.yaml").diagnostics.keys()
    assert seen == set(wanted)


def pairs(*groups: str) -> list[tuple[str, ...]]:
    """Return pairs with every choice of each group; where one has fewer, it starts again."""
    each = [choices(group) for group in groups]
    return [tuple(c[i % len(c)] for c in each) for i in range(max(map(len, each)))]


@pytest.mark.parametrize(("optimizer", "schedule"), pairs("optimizer", "schedule"))
def test_every_optimizer_and_every_schedule(losslab, optimizer, schedule):
    check(losslab.run(f"optimizer={optimizer}", f"schedule={schedule}", *TWO_STEPS))


@pytest.mark.parametrize(
    "option",
    [
        "trainer.precision=bfloat16",
        "trainer.deterministic=false",
        "trainer.channels_last=false",
        "trainer.threads=2",
        "trainer.device=auto",
        "data.label_noise=0.25",
        "data.train_size=0.5",
        "model.normalization=group",
        "model.output_scale=0.5",
        "model.output_bias=2",
    ],
)
def test_every_other_option(losslab, option):
    check(losslab.run("model=small_cnn", "model.width=4", option, *TWO_STEPS))


@pytest.mark.parametrize(("steps", "epoch"), [(1, 1 / 12), (30, 2.5)])
def test_steps_instead_of_epochs(losslab, steps, epoch):
    run = losslab.run(f"trainer.steps={steps}")
    check(run, steps=steps)
    last = records(run)[-1]
    assert (last["step"], last["epoch"]) == (steps, round(epoch, 6))
    assert last["examples"] == 32 * steps


def test_the_last_batch_of_an_epoch_may_be_smaller(losslab):
    run = losslab.run("trainer.batch_size=100", "trainer.log_every=1")
    check(run, steps=8)
    examples = {record["step"]: record["examples"] for record in records(run)}
    assert [examples[step] for step in range(9)] == [0, 100, 200, 300, 384, 484, 584, 684, 768]


def test_the_learning_rate_follows_its_schedule(losslab):
    run = losslab.run("schedule=cosine", "trainer.log_every=1", "optimizer.lr=0.5")
    rates = [record["optim/lr"] for record in records(run) if "optim/lr" in record]
    expected = [0.5 * (1 + math.cos(math.pi * step / 24)) / 2 for step in range(24)]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_cross_entropy_is_logged_as_entropy_and_divergence(losslab, epsilon):
    smoothing = f"loss.likelihood.label_smoothing={epsilon}"
    run = losslab.run("loss=map_gaussian", smoothing, *TWO_STEPS)
    target = [1 - epsilon + epsilon / 4, *[epsilon / 4] * 3]
    entropy = -sum(y * math.log(y) for y in target if y > 0)
    steps = [record for record in records(run) if "train/objective" in record]
    assert len(steps) == 2
    for step in steps:
        cross_entropy = step["train/cross_entropy"]
        assert step["train/entropy"] == pytest.approx(entropy)
        assert cross_entropy == pytest.approx(step["train/entropy"] + step["train/kl_divergence"])
        assert cross_entropy == pytest.approx(step["train/likelihood"])


def test_fewer_classes(losslab):
    run = losslab.run("data.num_classes=3", *TWO_STEPS)
    assert load_file(run / "predictions.safetensors")["val/logits"].shape == (128, 3)


def test_more_classes(losslab):
    run = losslab.run("data.digits=2", "model=small_cnn", "model.width=4", *TWO_STEPS)
    predictions = load_file(run / "predictions.safetensors")
    assert predictions["val/logits"].shape == (128, 16)
    assert predictions["test/labels"].bincount().tolist() == [16] * 16


@pytest.mark.slow
def test_real_digits(losslab):
    run = losslab.run("data=mnist5k", "trainer.batch_size=64", "trainer.epochs=1")
    assert read(run / "summary.json")["test/accuracy"] > 0.8


@pytest.mark.parametrize(
    ("words", "same"),
    [
        (("+optimizer.maximize=false",), ()),
        (("+optimizer.dampening=0",), ()),
        (("~optimizer.momentum",), ("optimizer.momentum=0",)),
        (("~optimizer.weight_decay",), ()),
        (("~trainer.log_every",), ()),
        (("loss=map_gaussian", "~loss.likelihood.label_smoothing"), ("loss=map_gaussian",)),
    ],
    ids=" ".join,
)
def test_an_argument_with_its_default_is_no_other_run(words, same):
    found = []
    with Composer() as composer:
        for overrides in (words, same):
            full = composer.compose(["data=synthetic", "model=linear", *overrides])
            found.append(plan_run(without_hydra(full), choices_of(full.hydra)))
    assert found[0] == found[1]
    assert found[0].digest == found[1].digest


# Values of the trainer and of init_from that make one run or two.
DIGESTS = [
    ({"device": "cuda"}, {"device": "cuda:1"}, "one"),
    ({"device": "cuda"}, {"device": "cpu"}, "two"),
    ({"engine": "eager"}, {"engine": "graph"}, "one"),
    ({"engine": "eager"}, {"engine": "stacked"}, "two"),
    ({"stack_size": 4}, {"stack_size": 8}, "one"),
    ({"engine": "stacked"}, {"engine": "stacked", "stack_size": 8}, "two"),
    ({"init_from": "fresh"}, {"init_from": "moved"}, "one"),
    ({"init_from": "fresh"}, {"init_from": "other"}, "two"),
    ({"init_from": "fresh"}, {}, "two"),
]


def test_device_engine_and_initial_weights_make_another_run_where_they_change_results(tmp_path):
    for name, value in {"fresh": 1.0, "moved": 1.0, "other": 2.0}.items():
        save_file({"w": torch.tensor([value])}, tmp_path / f"{name}.safetensors")
    with Composer() as composer:
        full = composer.compose(["data=synthetic", "model=linear"])
    config, chosen = without_hydra(full), choices_of(full.hydra)

    def digest(values):
        changed = config.copy()
        for key, value in values.items():
            if key == "init_from":
                changed.init_from = str(tmp_path / f"{value}.safetensors")
            else:
                changed.trainer[key] = value
        return plan_run(changed, chosen).digest

    for one, other, runs in DIGESTS:
        assert runs == ("one" if digest(one) == digest(other) else "two"), (one, other)


# What a choice sets on purpose to something else than the default of what it makes.
DELIBERATE = {
    "sgd": {"lr", "momentum", "fused"},
    **{name: {"fused"} for name in ("adam", "adamw", "nesterov")},
    "triangle": {"warmup", "initial", "anneal_strategy"},
}


@pytest.mark.parametrize("group", ["diagnostics", "model", "optimizer", "schedule"])
def test_a_choice_is_what_python_makes_without_arguments(group):
    for choice in choices(group):
        read_file = OmegaConf.load(CONF / group / f"{choice}.yaml")
        nodes = list(read_file.values()) if group == "diagnostics" else [read_file]
        differ = set()
        for node in nodes:
            if not OmegaConf.is_dict(node):  # a list of other choices
                continue
            defaults = inspect.signature(locate(node._target_)).parameters
            for key, value in OmegaConf.to_container(node).items():
                usual = defaults[key].default if key in defaults else inspect.Parameter.empty
                usual = list(usual) if isinstance(usual, tuple) else usual
                if usual not in (inspect.Parameter.empty, value) and "${" not in str(value):
                    differ.add(key)
        assert differ == DELIBERATE.get(choice, set()), choice


# Where and how often something is written, and the seed, which has its own folder.
WITHOUT_EFFECT = {
    *("seed", "name", "output_dir", "force", "data.root", "data.cache_dir", "data.download"),
    *("trainer.engine", "trainer.stack_size", "trainer.log_every", "trainer.checkpoint_every"),
    *("trainer.pictures_every", "trainer.histograms_every", "trainer.all_tags"),
}


def another(value):
    if isinstance(value, list):
        return [*value, 1]
    if value is None or isinstance(value, bool):
        return not value
    return f"{value}x" if isinstance(value, str) else value + 1


def test_every_key_that_can_change_a_result_makes_another_run():
    words = ["data=cifar10", "model=small_cnn", "loss=focal", "optimizer=adamw"]
    with Composer() as composer:
        full = composer.compose([*words, "schedule=one_cycle", "diagnostics=margins"])
    config, chosen = without_hydra(full), choices_of(full.hydra)
    usual, same = plan_run(config, chosen).digest, set()
    for key, value in flat(config).items():
        if key == "init_from" or key.endswith("_target_"):
            continue
        changed = config.copy()
        OmegaConf.update(changed, key, another(value))
        if plan_run(changed, chosen).digest == usual:
            same.add(key)
    assert same == WITHOUT_EFFECT
