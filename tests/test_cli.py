"""The command line: what it says to wrong input, and what it tells."""

import gzip
import io
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from PIL import Image

from losslab.report.load import load_runs
from running import TINY, Commands, status

SYNTHETIC = ("train", "data=synthetic")


class Bad(NamedTuple):
    """A command, and what its one line on standard error must contain."""

    command: tuple[str, ...]
    says: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.command)


def bad(command: str, *says: str) -> Bad:
    return Bad(tuple(command.split()), says)


def synthetic(overrides: str, *says: str) -> Bad:
    return Bad((*SYNTHETIC, *overrides.split()), says)


BAD_INPUT = [
    # unknown names, with the nearest right one
    bad("train loss=mes", "unknown loss 'mes'", "did you mean 'mse'", "cross_entropy"),
    bad("train data=minst5k", "unknown data 'minst5k'", "did you mean 'mnist5k'"),
    bad("train model=smal_cnn", "unknown model 'smal_cnn'", "did you mean 'small_cnn'"),
    bad("train optimizer=sdg", "'sdg'", "did you mean 'sgd'"),
    bad("train launcher=jobib", "'jobib'", "did you mean 'joblib'"),
    bad("train optimiser.lr=0.1", "'optimiser.lr'", "did you mean 'optimizer.lr'"),
    bad("train trainer.epoch=1", "'trainer.epoch'", "did you mean 'trainer.epochs'"),
    synthetic("+trainer.epoch=1", "'trainer.epoch'", "did you mean 'trainer.epochs'"),
    synthetic("+model.widht=4", "'model.widht'", "did you mean 'model.width'"),
    synthetic("+optimizer.lrr=1", "'optimizer.lrr'", "did you mean 'optimizer.lr'"),
    synthetic("loss=map_gaussian +loss.prior.sdt=1", "'loss.prior.sdt'", "'loss.prior.std'"),
    synthetic("+data.source.nois=1", "'data.source.nois'", "'data.source.noise'"),
    bad("train data=mnist +data.rooot=x", "'data.rooot'", "did you mean 'data.root'"),
    bad("train losses=mse", "'losses'", "did you mean 'loss'"),
    bad("train ~optimizer.momentm", "'optimizer.momentm'", "'optimizer.momentum'"),
    bad("train hydra.launcher.n_job=2", "'hydra.launcher.n_job'", "'hydra.launcher.n_jobs'"),
    bad("train loss@likelihood=mse", "'loss@likelihood'"),
    bad("train study=identities", "'study'"),
    bad("train data", "'data'", "key=value"),
    bad("train optimizer.lr=[", "'optimizer.lr=['", "key=value"),
    bad("train =3", "'=3'", "key=value"),
    bad("foo", "'foo'", "train, study, report, board, list"),
    bad("trian", "'trian'", "did you mean 'train'"),
    bad("list los", "'los'", "did you mean 'loss'"),
    # flags
    bad("train --foo", "--foo", "losslab train --help"),
    bad("train --cfg", "--cfg", "expected one argument"),
    bad("train --cfg job loss=mes", "'mes'", "did you mean 'mse'"),
    bad("train --cfg job seed=0,1", "seed=0,1", "-m"),
    bad("train --info defaults optimizer.rl=1", "'optimizer.rl'", "'optimizer.lr'"),
    bad("train --resolve", "--resolve", "--cfg"),
    bad("train -sc", "install"),
    bad("train --config-path=conf", "--config-path=conf", "--config-dir"),
    bad("train --experimental-rerun=x", "--experimental-rerun=x", "manifest.json"),
    bad("study why_squared_error --cfg job", "--cfg", "losslab train"),
    bad("report", "path", "losslab report --help"),
    bad("report . --to", "--to"),
    bad("list loss model", "model", "losslab list --help"),
    bad("board nowhere", "nowhere"),
    bad("board --port=x", "'x'"),
    # out of range
    *(
        synthetic(f"optimizer.lr={value}", "optimizer.lr=", "above 0")
        for value in ("0", "-1", "nan", "inf", "abc", "true", "1" + 400 * "0")
    ),
    synthetic("optimizer.momentum=1.5", "optimizer.momentum=1.5", "below 1"),
    synthetic("optimizer.nesterov=true optimizer.momentum=0", "Nesterov", "momentum=0"),
    synthetic("optimizer=adam optimizer.betas=[0.9,1.5]", "1.5"),
    synthetic(
        "optimizer=adam optimizer.betas=[0.9]", "optimizer.betas=[0.9]", "[a number, a number]"
    ),
    synthetic("+optimizer.foreach=true", "optimizer.foreach=true", "optimizer.fused=false"),
    synthetic("optimizer._partial_=false", "optimizer._partial_=False", "true"),
    *(
        synthetic(f"trainer.{name}=0", f"trainer.{name}=0", "from 1 up")
        for name in ("epochs", "steps", "batch_size", "threads", "log_every", "checkpoint_every")
    ),
    synthetic("trainer.epochs=null", "trainer.epochs", "null"),
    synthetic("trainer.threads=99999", "trainer.threads=99999", "1024"),
    *(
        synthetic(f"trainer.epochs={value}", "trainer.epochs=", "a whole number")
        for value in ("1.5", "nan", "true", "abc")
    ),
    synthetic("trainer.batch_size=385", "385", "384"),
    synthetic("trainer.precision=bfloat17", "bfloat17", "float32, bfloat16"),
    synthetic("trainer.channels_last=abc", "trainer.channels_last=abc", "true or false"),
    synthetic("loss=map_gaussian loss.prior.std=0", "std is 0"),
    *(
        synthetic(f"loss=map_gaussian loss.prior.std={value}", "loss.prior.std=", "a number")
        for value in ("abc", "null", "true", "[1]")
    ),
    synthetic("loss=map_gaussian loss.num_train=10", "loss.num_train=10", "from the data"),
    synthetic("loss=map_gaussian loss.likelihood=mse", "loss.likelihood=mse", "_target_"),
    synthetic("+loss.reduction=sum", "loss.reduction=sum", "no effect"),
    synthetic("loss=brier loss.activation=sofmax", "'sofmax'", "softmax, sigmoid, none"),
    synthetic("loss=mse_one_sided loss.activation=softmax", "'softmax'", "allowed is none"),
    synthetic("loss=mse_one_sided loss.one_sided=abc", "loss.one_sided=abc", "true or false"),
    synthetic("loss=mse_one_sided loss.one_sided=nan", "loss.one_sided=nan", "true or false"),
    synthetic("data.label_noise=1.5", "label_noise=1.5"),
    synthetic("data.label_noise=abc", "label_noise=abc"),
    synthetic("data.train_size=0", "train_size=0"),
    synthetic("data.train_size=9999", "train_size=9999", "384"),
    synthetic("data.split_seed=abc", "split_seed=abc"),
    synthetic("data.num_classes=abc", "num_classes=abc"),
    *(
        synthetic(f"data.digits={value}", f"data.digits={value}", "a whole number")
        for value in ("1.5", "True", "nan", "abc", "None")
    ),
    synthetic("data.digits=0", "digits=0", "from 1 to 13"),
    synthetic("data.digits=8", "digits=8", "65536 classes", "num_classes"),
    synthetic("data.digits=2 data.train_size=15", "train_size=15", "from 16 to 38400"),
    synthetic("data.digits=2 data.val_size=2", "validation part", "'pattern"),
    synthetic(
        "data.digits=2 data.augmentation={_target_:losslab.data.Augmentation}",
        "data.augmentation.flip=false",
    ),
    synthetic("data.augmentation=flip", "augmentation=flip"),
    synthetic("optimizer.nesterov=abc", "optimizer.nesterov=abc", "true or false"),
    synthetic("loss=map_gaussian loss.prior=null", "loss.prior=None", "_target_"),
    synthetic("data.num_classes=5", "num_classes=5", "4 classes"),
    synthetic("+model.num_classes=3", "model.num_classes=3", "from the data"),
    synthetic("model.width=abc", "width=abc"),
    synthetic("model.normalization=btach", "'btach'", "batch"),
    synthetic("schedule.final=1", "schedule.final=1"),
    synthetic("schedule=one_cycle schedule.warmup=abc", "warmup=abc"),
    synthetic("seed=-1", "seed=-1"),
    synthetic("seed=0,1", "seed=0,1", "-m"),
    synthetic("force=perhaps", "force=perhaps"),
    synthetic("name=../elsewhere", "name=../elsewhere"),
    synthetic("name=.", "name=."),
    synthetic("output_dir=null", "output_dir=None"),
    synthetic("output_dir=", "output_dir="),
    synthetic("output_dir=/dev/null", "/dev/null/runs", "output_dir=..."),
    synthetic("hydra.job.chdir=true", "hydra.job.chdir=true", "output_dir"),
    synthetic("data.source.noise=true", "data.source.noise=True", "a number"),
    synthetic("data.source.image_shape=abc", "data.source.image_shape=abc", "a list"),
    synthetic("data.dataset=null", "data.dataset=None"),
    bad("train data=cifar10 data.augmentation.padding=1.5", "padding=1.5", "a whole number"),
    bad("train data=mnist data.root=null", "data.root=None", "a name or a path"),
    # what does not go together
    synthetic("loss=map_gaussian optimizer.weight_decay=0.1", "weight_decay=0.1", "prior"),
    synthetic("loss=map_laplace optimizer=adamw", "weight_decay=0.01", "prior"),
    synthetic(
        "loss=map_gaussian optimizer=adamw ~optimizer.weight_decay", "weight_decay=0.01", "prior"
    ),
    synthetic("model=deep_cnn data.source.image_shape=[1,4,4]", "4x4"),
    # what is not there
    synthetic("init_from=runs/lr=1/seed=0", "init_from=runs/lr=1/seed=0 is not there", "null"),
    synthetic("trainer.device=cdua", "trainer.device=cdua", "cpu"),
    synthetic("~loss", "loss"),
    bad("train data=mnist data.download=false", "data=mnist5k", "data.root=", "train-images"),
    bad("train data=cifar10 data.download=false", "data=mnist5k", "data.root="),
    bad("train data=image_folder", "data.root"),
    bad("train data=image_folder data.root=/nowhere", "/nowhere/train"),
    bad("train --config-dir /nowhere", "/nowhere"),
    bad("train --config-name=mine", "--config-name=mine", "losslab list"),
    synthetic("~loss._target_", "loss._target_", "dotted name"),
    synthetic("loss._target_=nowhere.Loss", "nowhere.Loss", "No module named 'nowhere'"),
    synthetic("loss._target_=losslab.losses.CrosEntropy", "did you mean 'CrossEntropy'"),
    synthetic("schedule._target_=losslab.losses.Focal ~schedule.final", "schedule", "progress 0.0"),
    synthetic("~data.val_size", "data.val_size", "no value"),
    bad("train data=image_folder data.root=/nowhere", "/nowhere/train"),
    # wrong in a way that shows before the data are read, or downloaded
    bad("train data=mnist loss=brier loss.activation=sofmax", "'sofmax'"),
    bad("train data=mnist loss=map_gaussian optimizer.weight_decay=1", "weight_decay=1", "prior"),
    bad("train data=mnist model.width=abc", "model.width=abc"),
    bad("report nowhere", "nowhere"),
    bad("report .", "no runs"),
    # one of many
    bad("train -m data=synthetic optimizer.lr=0.1,0,0.2", "optimizer.lr=0"),
    bad("train -m data=synthetic loss=mse,mes", "'mes'", "'mse'"),
    bad("train -m data=synthetic loss=mse,map_gaussian optimizer=adamw", "weight_decay=0.01"),
    bad("train -m data=synthetic optimizer.rl=1,2", "'optimizer.rl'", "'optimizer.lr'"),
    bad("train -m data=synthetic +optimizer.rl=1,2", "'optimizer.rl'", "'optimizer.lr'"),
    bad("train -m data=synthetic loss=glob(x*)", "glob(x*)", "choice(...)"),
    bad("train -m data=synthetic optimizer.lr=interval(0,1)", "interval(0,1)", "range(...)"),
    bad("train -m hydra/sweeper=basik", "'basik'", "'basic'"),
    bad("train -m hydra.launcher.n_jobs=0", "n_jobs=0", "-1"),
    # studies
    bad("study", "losslab list study"),
    bad("study why_squared_eror", "'why_squared_eror'", "did you mean 'why_squared_error'"),
    bad("study why_squared_error study.tune_seed=[0]", "'study.tune_seeds'"),
    bad("study why_squared_error study.tune_seeds=0", "tune_seeds=0"),
    bad("study why_squared_error study.tune_seeds=[0,0]", "[0, 0]", "each once"),
    bad("study why_squared_error study.tune_seeds=[-1]", "[-1]", "from 0 up"),
    bad("study why_squared_error study.confirm_seeds=[1.5]", "[1.5]", "a whole number"),
    bad("study why_squared_error study.values=[a]", "['a']", "a number"),
    bad("study why_squared_error study.select=null", "study.select=None"),
    bad("study why_squared_error study.parameter=optimizer", "optimizer", "single value"),
    bad("study why_squared_error study.claims=[{id:x}]", "{'id': 'x'}", "direction"),
    bad("study why_squared_error seed=1", "seed=1", "study"),
    bad("study why_squared_error loss=mse", "loss=mse", "study"),
    bad("study why_squared_error optimizer.lr=1", "optimizer.lr=1", "study"),
    bad("study weight_prior study.runs.sigma.seeds=0", "seeds=0", "a list"),
    bad("study weight_prior study.runs.sigma.grid=0", "grid=0", "[value, ...]"),
    bad("study weight_prior study.runs.sigma.overrides=0", "overrides=0", "[key=value, ...]"),
    bad("study weight_prior ~study.runs.sigma.seeds", "study.runs.sigma", "seeds"),
    bad("study weight_prior study.measures.sigma._target_=nowhere.x", "nowhere.x"),
    bad("study weight_prior study.claims=[{id:x}]", "'id': 'x'", "statement"),
    bad("study why_squared_error study.confirm_seeds=[0]", "[0]", "fresh"),
    bad("study why_squared_error study.reference=mes", "study.reference=mes", "mse"),
    bad("study why_squared_error study.tune_seeds=[0] study.select=val/acuracy", "val/acuracy"),
    bad("study why_squared_error +study.arms.foo.label=x", "study.arms.foo"),
    bad(
        "study why_squared_error study.parameter=optimizer.rl study.tune_seeds=[0]",
        "'optimizer.rl'",
    ),
    bad("study why_squared_error data=minst", "'minst'", "'mnist'"),
    bad("study why_squared_error trainer.epochs=0 study.tune_seeds=[0]", "trainer.epochs=0"),
]


def check(losslab: Commands, command: tuple[str, ...], says: tuple[str, ...]) -> None:
    """The command must end with 2 and one line, and leave the working folder as it is."""
    before = snapshot(losslab.folder)
    code, out, err = losslab.call(*command)
    (line,) = err.splitlines()
    assert line.startswith("losslab: ")
    assert [words for words in says if words not in line] == []
    assert (code, out) == (2, "")
    assert snapshot(losslab.folder) == before


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("case", BAD_INPUT, ids=str)
def test_bad_input_gets_one_line_and_code_2_before_anything_is_written(losslab, case):
    check(losslab, *case)
    assert list(losslab.folder.iterdir()) == []


@pytest.mark.parametrize("case", BAD_INPUT[::12], ids=str)
def test_the_traceback_is_there_for_those_who_ask(losslab, case, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    code, out, err = losslab.call(*case.command)
    assert (code, out) == (2, "")
    assert err.startswith("Traceback (most recent call last)")
    assert "ValueError" in err
    assert err.splitlines()[-1].startswith("losslab: ")
    assert list(losslab.folder.iterdir()) == []


def test_a_port_that_is_no_number_of_one_or_taken(losslab):
    (losslab.folder / "outputs").mkdir()
    for port in (-1, 65536):
        check(losslab, ("board", f"--port={port}"), (f"--port={port}", "65535"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check(losslab, ("board", f"--port={port}"), (f"port {port}", "--port"))


OWN = """
import torch
from losslab.losses import Loss

class Wide(Loss):
    def per_example(self, logits, target):
        return logits

class Raises(Loss):
    def per_example(self, logits, target):
        raise KeyError("a key of mine")

class Detached(Loss):
    def per_example(self, logits, target):
        return logits.detach().sum(dim=1)

class Unfinished(Loss):
    pass

class Net(torch.nn.Module):
    def __init__(self, input_shape, num_classes, *, features: int, outputs: int):
        super().__init__()
        self.layer = torch.nn.Linear(features, outputs)

    def forward(self, images):
        return self.layer(images.flatten(1))

def number():
    return 3
"""
LOSS = "~loss.label_smoothing loss._target_=own."
NET = "~model.width ~model.normalization ~model.output_scale model._target_=own.Net "


@pytest.mark.parametrize(
    "case",
    [
        synthetic(LOSS + "Wide", "Wide", "(2, 4)", "(2,)"),
        synthetic(LOSS + "Raises", "Raises", "a key of mine"),
        synthetic(LOSS + "Detached", "Detached", "no gradient"),
        synthetic(LOSS + "Unfinished", "Unfinished", "per_example"),
        synthetic(LOSS + "Wied", "own.Wied", "did you mean 'Wide'"),
        synthetic(LOSS + "number", "own.number", "Module"),
        synthetic("loss._target_=broken.Loss", "broken.Loss", "SyntaxError"),
        synthetic(NET + "+model.features=256 +model.outputs=5", "(2, 5)", "(2, 4)"),
        synthetic(NET + "+model.features=3 +model.outputs=4", "(2, 1, 16, 16)", "shapes"),
        synthetic(NET + "+model.features=256", "model.outputs", "no value"),
        synthetic(NET + "+model.features=x +model.outputs=4", "model.features=x", "whole number"),
    ],
    ids=str,
)
def test_a_loss_or_model_of_ones_own_that_cannot_do_its_work(losslab, case, monkeypatch):
    (losslab.folder / "own.py").write_text(OWN)
    (losslab.folder / "broken.py").write_text("x = (")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "own", raising=False)
    check(losslab, *case)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("_target_: losslab.losses.Focal\ngama: 1\n", ("'loss.gama'", "'loss.gamma'")),
        ("_target_: losslab.losses.Focal\ngamma: ???\n", ("loss.gamma", "no value")),
        ("_target_: losslab.losses.Focal\ngamma: ${nowhere}\n", ("nowhere", "loss.gamma")),
        ("gamma: 1\n", ("loss._target_",)),
        ("", ("loss._target_",)),
        ("- 1\n", ("loss=[1]",)),
        ("a: [\n", ("loss/mine.yaml", "line 2")),
        ("defaults: [nowhere]\n", ("loss/mine", "loss/nowhere")),
    ],
)
def test_a_choice_of_ones_own_that_is_broken(losslab, content, says):
    choice = losslab.folder / "my_conf" / "loss" / "mine.yaml"
    choice.parent.mkdir(parents=True)
    choice.write_text(content)
    where = ("--config-dir", "my_conf")
    check(losslab, (*SYNTHETIC, *where, "loss=mine"), says)
    check(losslab, (*SYNTHETIC, *where, "loss=mein"), ("'mein'", "did you mean 'mine'"))


def test_a_checkpoint_that_is_cut_off_or_something_else(losslab):
    losslab.train()
    (run,) = losslab.runs()
    (run / "status.json").write_text('{"status": "running"}')
    something_else = io.BytesIO()
    torch.save({"weights": torch.zeros(3)}, something_else)
    for content in (b"", b"junk", something_else.getvalue()[:-20], something_else.getvalue()):
        (run / "checkpoint.pt").write_bytes(content)
        check(losslab, ("train", *TINY), ("checkpoint.pt", "delete it"))
        check(losslab, ("train", "-m", *TINY, "seed=0,1"), ("checkpoint.pt", "delete it"))


MNIST_FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_data_file_is_named(losslab, damage):
    raw = losslab.folder / "digits" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in MNIST_FILES:
        content = gzip.compress(b"\0" * 1000, mtime=0)
        cut = content[:-9] if damage == "truncated" else content
        (raw / f"{name}-ubyte.gz").write_bytes(cut)
    check(losslab, ("train", "data=mnist", "data.root=digits"), ("-ubyte.gz",))


def test_labels_beyond_the_classes(losslab):
    for part, classes in {"train": "ab", "test": "abc"}.items():
        for name in classes:
            for number in range(4):
                place = losslab.folder / "pictures" / part / name / f"{number}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 8), number).save(place)
    check(losslab, ("train", "data=image_folder", "data.root=pictures"), ("'c'", "same names"))


def test_an_output_directory_with_another_configuration(losslab):
    losslab.train()
    (run,) = losslab.runs()
    config = run / "config.yaml"
    original = config.read_text()
    where = str(run.relative_to(losslab.folder))
    for content in (original.replace("lr: 0.05", "lr: 0.5"), "", "a: [", "seed: 0\n"):
        assert content != original
        config.write_text(content)
        check(losslab, ("train", *TINY), (where, "different configuration"))
        check(losslab, ("train", "-m", *TINY, "seed=0,1"), (where, "different configuration"))
        check(losslab, ("train", *TINY, "force=true"), (where, "different configuration"))
    config.write_text(original)
    assert losslab.call("train", *TINY).code == 0


@pytest.mark.slow
def test_bad_input_to_the_real_program(losslab):
    command = [sys.executable, "-m", "losslab", "train", "data=synthetic", "optimizer.lr=-1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "losslab: optimizer.lr=-1; give a number above 0\n"
    assert list(losslab.folder.iterdir()) == []


def test_the_shell_completes(losslab, monkeypatch):
    expected = {
        "losslab st": "train study report board list",
        "losslab train loss=me": "loss=mean_absolute_error",
        "losslab train loss=mse optimizer.moment": "optimizer.momentum=",
        "losslab study why": "",
    }
    for line, words in expected.items():
        monkeypatch.setenv("COMP_LINE", line)
        result = losslab.call("-sc", "query=bash")
        assert (result.code, result.out.strip(), result.err) == (0, words, "")
    monkeypatch.delenv("COMP_LINE")
    assert "complete -o nospace" in losslab.call("-sc", "install=bash").out


def test_version(losslab):
    assert losslab.call("--version").out == f"losslab {metadata.version('losslab')}\n"


def test_usage(losslab):
    for arguments, code in (((), 2), (("--help",), 0), (("-h",), 0)):
        result = losslab.call(*arguments)
        assert (result.code, result.err) == (code, "")
        assert "losslab study why_squared_error" in result.out


@pytest.mark.parametrize(
    ("arguments", "shows"),
    [
        (("--cfg", "job"), "losslab.losses.SquaredError"),
        (("--help",), "optimizer"),
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
