"""The Python API: it does what the commands do, and gives runs, tables and one-line errors."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, default_collate

import losslab as lab
from losslab.data import BatchLoader
from losslab.experiment.build import build
from losslab.experiment.overrides import to_words
from losslab.folders import CONFIG_FOLDER
from losslab.recording import Recorder
from losslab.training import Cosine, fit
from losslab.types import Finding
from running import TINY, records, results

OPTIONS = {
    "data": "synthetic",
    "model": "linear",
    "trainer": {"batch_size": 32, "epochs": 2, "device": "cpu", "log_every": 5},
    "launcher": "serial",
}
ROOT = Path(__file__).parents[1]


def test_every_public_name_is_there_and_loaded_when_first_used():
    assert set(lab.__all__) <= set(dir(lab))
    for name in lab.__all__:
        assert getattr(lab, name).__doc__
    with pytest.raises(AttributeError, match=r"losslab.*trian"):
        _ = lab.trian
    assert callable(lab.study)
    assert lab.study.Study.__name__ == "Study"  # the package, too


def test_words_and_keywords_make_the_run_of_the_command(losslab):
    words = lab.train(*TINY, "loss=mse", "optimizer.lr=0.1", "seed=1")
    assert (words.status, words.seed, words.loss) == ("done", 1, "mse")
    assert words.summary == json.loads((words.path / "summary.json").read_text())
    assert words.config["optimizer"]["lr"] == 0.1
    keywords = lab.train(**OPTIONS, loss="mse", optimizer={"lr": 0.1}, seed=1)
    assert keywords.path == words.path
    command = losslab.run("loss=mse", "optimizer.lr=0.1", "seed=1")
    assert results(command) == results(words.path)
    assert records(command) == records(words.path)
    assert command.parent.name == words.group


def test_a_run_gives_its_curves_predictions_and_model(losslab):
    run = lab.train(*TINY)
    curves = run.curves()
    assert set(curves["tag"]) >= {"train/objective", "val/accuracy", "optim/lr"}
    last = curves[curves["tag"] == "val/accuracy"].iloc[-1]
    assert (last["epoch"], last["value"]) == (2.0, run.summary["val/accuracy"])
    assert set(run.curves("val/nll")["tag"]) == {"val/nll"}
    logits, labels = run.predictions("val")
    assert lab.metrics.accuracy(logits, labels) == pytest.approx(run.summary["val/accuracy"])
    data = lab.data.load("synthetic")
    assert lab.load_model(run)(data.val.images).detach().numpy() == pytest.approx(logits, abs=1e-5)
    assert lab.evaluate(run)["test"]["accuracy"] == pytest.approx(run.summary["test/accuracy"])
    assert "test/accuracy" in repr(run)
    with pytest.raises(ValueError, match="no predictions for 'train'"):
        run.predictions("train")


def test_a_sweep_and_its_tables(losslab):
    runs = lab.sweep(**OPTIONS, loss=["mse", "brier"], optimizer={"lr": (0.1, 0.2)}, seed=range(2))
    assert len({run.path for run in runs}) == 8
    assert [run.loss for run in runs] == ["mse"] * 4 + ["brier"] * 4
    table = lab.load_runs("outputs/runs")
    assert list(table.columns[:6]) == ["name", "group", "loss", "seed", "status", "path"]
    assert set(table["optimizer.lr"]) == {0.1, 0.2}
    assert set(table["path"]) == {str(run.path) for run in runs}
    some = table[(table["loss"] == "mse") & (table["seed"] == 0)]
    curves = lab.load_curves(some, "val/accuracy")
    assert len(curves) == 2 * 3
    assert set(curves["name"]) == set(some["name"])
    assert set(lab.load_predictions(some)) == set(some["name"])
    assert lab.load_curves([]).empty


def test_runs_of_several_folders(losslab):
    first = lab.train(*TINY, "name=a")
    again = lab.train(*TINY, "name=more/b")
    other = lab.train(*TINY, "name=more/b", "seed=1", "trainer.log_every=7")
    assert first.name == again.name
    table = lab.load_runs(["outputs/a", Path("outputs/more/b"), other])
    names = [f"a/{first.name}", f"more/b/{again.name}", f"more/b/{other.name}"]
    assert table["name"].tolist() == names
    assert table["path"].tolist() == [str(run.path) for run in (first, again, other)]
    assert table["trainer.log_every"].tolist() == [5, 5, 7]
    assert table["loss"].tolist() == ["cross_entropy"] * 3
    joined = pd.concat([lab.load_runs("outputs/a"), lab.load_runs("outputs/more/b")])
    for runs in (table, ["outputs/a", "outputs/more/b"], [first, again, other], joined):
        stored = lab.load_predictions(runs)
        assert list(stored) == names
        assert np.array_equal(stored[names[2]][0], other.predictions()[0])
        assert lab.load_curves(runs, "val/accuracy")["name"].unique().tolist() == names
    assert list(lab.load_predictions([first, other, first])) == [first.name, other.name]
    nested = [[first, "outputs/more/b"], lab.load_runs("outputs/a")]
    assert lab.load_runs(nested)["name"].tolist() == names
    assert lab.Run.load(str(other.path)).summary == other.summary
    assert lab.load_runs(["outputs/more/b"]).equals(lab.load_runs("outputs/more/b"))
    nested = lab.load_runs(["outputs/a", "outputs/more"])["name"]  # differ as they are
    assert nested.tolist() == [first.name, f"b/{again.name}", f"b/{other.name}"]


def test_a_tag_or_part_that_no_run_recorded(losslab):
    run = lab.train(*TINY)
    table = lab.load_runs(run.path)
    for call, says in [
        (lambda: lab.load_curves(run, "val/acuracy"), "no run recorded 'val/acuracy' .*'val/accu"),
        (lambda: run.curves("val/accuracy", "x"), "no run recorded 'x'; leave the tags out"),
        (lambda: lab.load_curves(run, ["val/nll"]), r"\['val/nll'\] is not a tag; give text"),
        (lambda: lab.load_curves(table[["name", "path"]]), "the table has no column 'group'"),
    ]:
        with pytest.raises(ValueError, match=says) as error:
            call()
        assert "\n" not in str(error.value)
    diverged = lab.train(*TINY, "loss=mse", "optimizer.lr=1e30")
    assert diverged.status == "diverged"
    assert lab.load_curves(diverged, "train/accuracy").empty
    assert not lab.load_curves([diverged, run], "train/accuracy").empty


def test_the_command_of_a_study_names_its_folder_of_choices(losslab, monkeypatch):
    (losslab.folder / "my conf").mkdir()
    seen = {}

    def stop(*_, command, **__):
        seen["command"] = command
        raise InterruptedError

    monkeypatch.setattr("losslab.api.open_study", stop)
    for folder, flag in {None: "", "my conf": "--config-dir 'my conf' "}.items():
        with pytest.raises(InterruptedError):
            lab.study("why_squared_error", "seed=1", config_dir=folder)
        assert seen["command"] == f"losslab study why_squared_error {flag}seed=1"


BREAKS = """
import torch

class Breaks(torch.nn.Module):
    def __init__(self, label_smoothing):
        super().__init__()

    def forward(self, logits, target):
        if len(target) == 32:  # more than a dry run takes
            raise RuntimeError("it broke")
        return (logits - target[:, None]).square().sum(dim=1)
"""


@pytest.mark.slow
def test_what_fails_and_what_diverges(losslab):
    (losslab.folder / "breaks.py").write_text(BREAKS)
    breaks = {"loss": {"_target_": "breaks.Breaks"}}
    with pytest.raises(RuntimeError, match=r"seed=0 .*it broke"):
        lab.train(*TINY, **breaks)
    with pytest.raises(RuntimeError, match=r"no run finished.*it broke"):
        lab.sweep(*TINY, seed=[0, 1], **breaks)
    some = lab.sweep(*TINY, loss={"_target_": ["breaks.Breaks", "losslab.losses.CrossEntropy"]})
    assert [run.status for run in some] == ["failed", "done"]
    assert "it broke" in some[0].reason
    assert lab.train(*TINY, "loss=mse", "optimizer.lr=1e30").status == "diverged"


BAD = [
    (lambda: lab.train(loss="mes"), "did you mean 'mse'"),
    (lambda: lab.train(optimizer={"lrr": 1}), "did you mean 'optimizer.lr'"),
    (lambda: lab.train(loss=nn.MSELoss()), "losslab.training.fit"),
    (lambda: lab.train("loss"), "key=value"),
    (lambda: lab.train("loss=mse,brier"), "several values"),
    (lambda: lab.train(config_dir="nowhere"), "nowhere"),
    (lambda: lab.train(loss={"_target_": "losslab.study"}), "not on the allowlist"),
    (lambda: lab.sweep(loss=["mse", "mes"]), "did you mean 'mse'"),
    (lambda: lab.sweep(seed=[]), "seed="),
    (lambda: lab.sweep(loss="mse,brier"), r"is one name; in Python, give a list: loss=\['mse', 'b"),
    (lambda: lab.train(loss=nn.MSELoss), "loss is the class MSELoss"),
    (lambda: lab.train(optimizer={"lr": 1j}), "optimizer.lr is a complex"),
    (lambda: lab.sweep(progres=True), r"unknown keyword 'progres' \(did you mean 'progress'"),
    (lambda: lab.study("precision", config_dri="x"), "did you mean 'config_dir'"),
    (lambda: lab.verify("why_squared_error", points="ms"), "--points ms: the study has no such"),
    (lambda: lab.study("why"), "unknown study 'why'"),
    (lambda: lab.load_study("."), "does not hold the results of a study"),
    (lambda: lab.load_runs("nowhere"), "nowhere is not a folder"),
    (lambda: lab.load_runs([".", "nowhere"]), "nowhere is not a folder"),
    (lambda: lab.load_runs([".", 3]), "3 is not a folder of runs; give folders"),
    (lambda: lab.load_runs(None), "None is not a folder of runs"),
    (lambda: lab.load_predictions(".", "tset"), r"part='tset' \(did you mean 'test'.*val or test"),
    (lambda: lab.load_predictions(".", "train"), "part='train'.*give val or test"),
    (lambda: lab.load_model("nowhere"), "not a finished run"),
    (lambda: lab.evaluate("nowhere"), "not a finished run"),
    (lambda: lab.data.load("mnist5"), "allowed are cifar10"),
    (lambda: lab.data.load("image_folder"), "give root="),
    (lambda: lab.data.load("synthetic", label_noise=2), "label_noise=2"),
]


def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(losslab):
    for call, says in BAD:
        with pytest.raises(ValueError, match=says) as error:
            call()
        assert "\n" not in str(error.value)
    assert list(losslab.folder.iterdir()) == []


def test_altered_predictions_are_not_used(losslab):
    run = lab.train(*TINY)
    table = lab.load_runs("outputs/runs")
    run.files.predictions.write_bytes(run.files.predictions.read_bytes()[:-1] + b"x")
    assert lab.load_predictions(table) == {}
    assert run.status == "done"  # as it was when it was returned
    (now,) = lab.load_runs("outputs/runs")["status"]
    assert now == "damaged"


def test_values_are_written_as_hydra_reads_them(losslab):
    values = {
        "plain": "mse", "path": Path("/a/b c"), "word": "true", "number": "1e3", "empty": "",
        "quotes": 'a"b\\', "equals": "a=b,c", "int": 3, "numpy": np.float32(0.5),
        "list": ["a b", 1, None, False], "nodes": [{"a": 1}], "big": 1e30, "infinite": float("inf"),
    }  # fmt: skip
    assert to_words({"seed": np.array(1), "lr": torch.tensor([0.5])}, swept=True) == [
        "seed=1",
        "lr=0.5",
    ]
    words = to_words({f"+x.{key}": value for key, value in values.items()})
    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        found = OmegaConf.to_container(compose("config", overrides=words).x)
    assert found == values | {"path": "/a/b c"}


def test_it_leaves_the_process_as_it_was(losslab, capsys):
    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        before = GlobalHydra.instance().hydra, torch.get_num_threads(), torch.get_rng_state()
        lab.train(*TINY, "trainer.threads=2")
        assert GlobalHydra.instance().hydra is before[0]
        assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (
            before[1],
            False,
        )
        assert torch.equal(torch.get_rng_state(), before[2])
    assert capsys.readouterr() == ("", "")


def test_threads_train_one_after_the_other(losslab, monkeypatch):
    api, inside, most = import_module("losslab.api"), [], []
    train_one = api.train_one

    def watched(*arguments, **options):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        try:
            return train_one(*arguments, **options)
        finally:
            inside.pop()

    alone = [lab.train(*TINY, "name=alone", f"seed={seed}") for seed in range(3)]
    monkeypatch.setattr(api, "train_one", watched)
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda seed: lab.train(*TINY, f"seed={seed}"), range(3)))
    assert most == [1, 1, 1]
    assert [results(run.path) for run in together] == [results(run.path) for run in alone]


@pytest.mark.slow
def test_a_script_without_a_main_guard_that_changes_its_folder(tmp_path):
    (tmp_path / "script.py").write_text(
        "import os, losslab\n"
        "for folder in 'a', 'b':\n"
        "    os.makedirs(folder)\n"
        "    os.chdir(folder)\n"
        f"    runs = losslab.sweep(*{TINY[:-1]}, 'launcher.workers=2', seed=range(2))\n"
        "    assert all(run.path.is_relative_to(os.getcwd()) for run in runs)\n"
        "    print(*[run.status for run in runs])\n"
    )
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done done\ndone done\n", "")


def test_the_results_of_a_committed_study():
    found = lab.load_study(ROOT / "experiments/why_squared_error")
    assert found.results == json.loads((found.path / "results.json").read_text())
    assert list(found.claims.columns[:3]) == ["id", "statement", "verdict"]
    assert len(found.claims) == len(found.results["claims"])
    assert {path.name for path in found.figures} >= {"claims.png"}
    assert "supported" in repr(found)
    assert found.runs.empty


@pytest.mark.slow
def test_a_study(losslab):
    folder = losslab.folder / "conf" / "study"
    folder.mkdir(parents=True)
    (folder / "small.yaml").write_text(
        "_target_: losslab.study.Study\ntitle: Small\nquestion: Does it run?\n"
        f"base: {list(TINY[:2])}\n"
        "arms:\n"
        "  cross_entropy: {label: cross-entropy, overrides: [loss=cross_entropy]}\n"
        "  mse: {label: squared error, overrides: [loss=mse]}\n"
        "reference: cross_entropy\nparameter: optimizer.lr\nvalues: [0.1]\n"
        "tune_seeds: [0]\nconfirm_seeds: [1, 2]\nconfirm_at: [own]\n"
        "claims:\n"
        "  - {id: a, statement: It differs, source: x, metric: test/accuracy, direction: less,\n"
        "     smallest_effect: 0.01, left: {arm: mse, rate: own},\n"
        "     right: {arm: cross_entropy, rate: own}}\n"
    )
    options = {"launcher": "serial", "trainer": {"epochs": 1, "device": "cpu"}}
    found = lab.study("small", config_dir="conf", study={"tune_seeds": [0, 3]}, **options)
    assert list(found.claims["id"]) == ["a"]
    assert len(found.runs) == 2 * 2 + 2 * 2
    assert found.failed == {}
    assert set(found.runs["status"]) == {"done"}
    assert found.figures
    assert found.path == Path("outputs/small")


@pytest.mark.parametrize("name", sorted(p.stem for p in (CONFIG_FOLDER / "data").glob("*.yaml")))
def test_data_by_name_are_those_of_the_configuration(name, monkeypatch):
    monkeypatch.setenv("LOSSLAB_CACHE", "elsewhere")
    says = OmegaConf.load(CONFIG_FOLDER / "data" / f"{name}.yaml")
    if name == "image_folder":
        says.root = "images"
    expected = OmegaConf.to_container(says, resolve=True)
    seen = {}
    by_name = sys.modules["losslab.data.dataset"].or_named(
        lambda source, **o: seen.update(o, source=source)
    )
    by_name(name, **({"root": "images"} if name == "image_folder" else {}))
    source, augmentation = seen.pop("source"), seen.pop("augmentation")
    wanted = expected.pop("source")
    assert f"losslab.data.{source.func.__name__}" == wanted.pop("_target_")
    assert source.keywords | {"_partial_": True} == wanted
    node = expected.pop("augmentation")
    usual = vars(lab.data.Augmentation())
    assert (augmentation and vars(augmentation)) == (
        node and usual | {key: value for key, value in node.items() if key != "_target_"}
    )
    assert seen | {"_target_": "losslab.data.load"} == expected


def test_tensors_are_the_batches_that_training_sees():
    data = lab.data.load("synthetic", train_size=50, label_noise=0.2)
    images, labels = data.tensors("train")
    loader = BatchLoader(data.train, batch_size=10, mean=data.mean, std=data.std)
    assert torch.equal(images, torch.cat([batch.images for batch in loader.in_order()]))
    assert torch.equal(labels, data.train.labels)


def plain(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 4))


def test_the_loop_is_that_of_a_run(losslab):
    run = lab.train(*TINY, "loss=mse", "optimizer.lr=0.1", "trainer.channels_last=false")
    data = lab.data.load("synthetic")
    parts = build(OmegaConf.create(run.config))
    model = parts.model
    history = fit(
        model,
        parts.objective,
        parts.make_optimizer(model.parameters()),
        train=data.tensors("train"),
        val=data.tensors("val"),
        epochs=2,
        batch_size=32,
        schedule=Cosine(final=0.0),
        log_every=5,
    )
    expected = run.curves()
    for tag in ("train/objective", "val/accuracy", "val/nll", "optim/grad_norm"):
        wanted = expected[expected["tag"] == tag]
        found = history[["step", "epoch", tag]].dropna()
        assert found["step"].tolist() == wanted["step"].tolist()
        assert found[tag].tolist() == pytest.approx(wanted["value"].tolist(), rel=1e-5)


class Pair(nn.Linear):
    def __init__(self):
        super().__init__(3, 2)

    def forward(self, inputs):
        return super().forward(inputs), inputs


def test_fit_on_anything(losslab):
    features, labels = torch.randn(40, 3), torch.randint(0, 2, (40,))
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.eval()
    loss = nn.CrossEntropyLoss(reduction="none")
    state = torch.get_rng_state()
    history = fit(model, loss, optimizer, train=(features, labels), steps=7, schedule=Cosine())
    assert history["step"].iloc[-1] == 7
    assert not [name for name in history if name.startswith("val/")]
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert not model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert history.attrs == {"diverged": False}
    worse = fit(
        model, lambda z, y: z[:, 0] * torch.inf, optimizer, train=(features, labels), epochs=9
    )
    assert worse.attrs == {"diverged": True}
    assert worse["step"].max() == 1
    tensors = TensorDataset(features[:2], labels[:2])
    for bad, says in {
        (loss, tensors): r"train is a TensorDataset; give .* default_collate\(\[\*dataset\]\)",
        (loss, DataLoader(tensors, batch_size=1)): "train is a DataLoader; give inputs and labels",
        (loss, lab.data.synthetic()): r"train is a Source; .* dataset\.tensors",
        (nn.CrossEntropyLoss, (features, labels)): "likelihood is <class.* construct it",
        (nn.CrossEntropyLoss(), (features, labels)): "reduction='none'",
        (lambda z, y: z, (features, labels)): "one value per example",
        (loss, (features, labels[:3])): "one torch.int64 label per input",
        (loss, (features, labels.float())): "torch.int64",
    }.items():
        with pytest.raises(ValueError, match=says):
            fit(model, bad[0], optimizer, train=bad[1], epochs=1)
    with pytest.raises(ValueError, match="epochs"):
        fit(model, loss, optimizer, train=(features, labels))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    for options, says in [
        ({"model": nn.Linear}, r"model is the class Linear; give a torch.nn.Module: construct it"),
        ({"model": lambda x: x}, "model is a function; give a torch.nn.Module"),
        ({"model": Pair()}, r"the model returns a tuple; give logits \(N, K\)"),
        ({"optimizer": "sgd"}, "optimizer is a str; give an optimizer of torch"),
        ({"schedule": scheduler}, r"schedule is a StepLR; give a function such as .*Cosine\(\)"),
        ({"schedule": Cosine}, "schedule is the class Cosine"),
        ({"seed": 1.0}, "seed=1.0; give a whole number"),
        ({"seed": None}, "seed=None; give a whole number"),
    ]:
        given = {"model": model, "optimizer": optimizer} | options
        if isinstance(given["model"], Pair):
            given["optimizer"] = torch.optim.SGD(given["model"].parameters())
        with pytest.raises(ValueError, match=says):
            fit(loss=loss, train=(features, labels), epochs=1, **given)
    assert list(losslab.folder.iterdir()) == []


def test_fit_takes_scalars_of_numpy_and_data_of_torch():
    features, labels = torch.randn(40, 3), torch.randint(0, 2, (40,))
    weights = []
    for integer, train in (
        (int, (features, labels)),
        (np.int64, default_collate([*TensorDataset(features, labels)])),
    ):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        fit(
            model,
            lab.losses.CrossEntropy(),
            torch.optim.SGD(model.parameters(), lr=0.1),
            train=train,
            epochs=integer(2),
            batch_size=integer(8),
            seed=integer(1),
            log_every=integer(5),
        )
        weights.append(model.weight)
    assert torch.equal(*weights)


def test_fit_refuses_weight_decay_beside_a_prior():
    model = nn.Linear(3, 2)
    prior = lab.losses.GaussianPrior(1.0)
    objective = lab.losses.MAP(lab.losses.CrossEntropy(), prior, num_train=4)
    optimizer = torch.optim.AdamW(model.parameters())  # whose default is not 0
    data = torch.randn(4, 3), torch.tensor([0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"prior, and the optimizer weight_decay=0.01: .* twice"):
        fit(model, objective, optimizer, train=data, epochs=1)
    flat = lab.losses.MAP(lab.losses.CrossEntropy(), lab.losses.FlatPrior(), num_train=4)
    fit(model, flat, optimizer, train=data, epochs=1)


def test_fit_calls_back_and_records_into_a_folder(losslab):
    model, seen = nn.Linear(3, 2), []
    recorder = Recorder(lab.Run.at("outputs/mine/cubed/seed=3"))

    def diagnose(epochs, numbers, epoch, last, val):
        seen.append((epochs, last))
        return Finding({"mine/epochs": epochs}, {}) if last else None

    history = fit(
        model,
        lab.losses.CrossEntropy(),
        torch.optim.SGD(model.parameters(), lr=0.1),
        train=(torch.randn(4, 3), torch.tensor([0, 1, 0, 1])),
        epochs=2,
        diagnose=diagnose,
        recorder=recorder,
    )
    recorder.close(success=True)
    assert seen == [(0, False), (1, False), (2, True)]
    assert history["mine/epochs"].dropna().tolist() == [2]
    curves = lab.load_curves("outputs/mine", "mine/epochs")
    assert curves[["loss", "seed", "value"]].values.tolist() == [["cubed", 3, 2]]
