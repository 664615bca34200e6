"""What would fail in a run, or at its end, is refused before the first one begins."""

import sys

import pytest
import torch
from safetensors.torch import load_file

from bad import SYNTHETIC, check
from losslab.data import build, synthetic
from losslab.experiment import Composer, choices_of, load_model, perform, plan_run
from losslab.experiment.compose import without_hydra
from running import TINY, read, records, results

OWN = '''
import torch
from torch import nn
from losslab.losses import CrossEntropy, Loss
from losslab.types import Finding

class Net(nn.Module):
    """On images of 1x16x16, with whatever is wrong in a subclass."""

    def __init__(self, input_shape, num_classes):
        super().__init__()
        self.layer = nn.Linear(256, 256)
        self.output = nn.Linear(256, num_classes)
        self.change()

    def change(self): ...

    def forward(self, images):
        return self.output(self.layer(images.flatten(1)))

class Tied(Net):
    def change(self):
        self.twin = nn.Linear(256, 256)
        self.twin.weight = self.layer.weight
    def forward(self, images):
        return self.output(self.twin(self.layer(images.flatten(1))))

class Unused(Net):
    def change(self):
        self.last = nn.Linear(256, 4)
    def forward(self, images):
        return self.last(self.layer(images.flatten(1)))

class Lazy(Net):
    def change(self):
        self.layer = nn.LazyLinear(256)

class Transposed(Net):
    def change(self):
        self.layer.weight = nn.Parameter(torch.randn(256, 256).t() / 256)

class Listed(Net):
    def change(self):
        self.more = [nn.Linear(256, 256)]
    def forward(self, images):
        return self.output(self.more[0](self.layer(images.flatten(1))))

class Frozen(Net):
    def change(self):
        self.requires_grad_(False)

class Auxiliary(Net):
    def forward(self, images):
        logits = super().forward(images)
        return (logits, logits) if self.training else logits

class Normed(Net):
    def change(self):
        self.layer = nn.Sequential(nn.Linear(256, 256), nn.BatchNorm1d(256))

class Squeezed(Net):
    def forward(self, images):
        return super().forward(images).squeeze()

class Viewed(Net):
    def forward(self, images):
        features = nn.functional.conv2d(images, torch.ones(2, 1, 16, 16), padding="same")
        return self.output(features[:, :, ::2].reshape(-1, 16, 16).view(-1, 256)[:, :256])

class Forgets(Net):
    def change(self):
        self.register_buffer("mean", torch.zeros(()), persistent=False)
    def forward(self, images):
        if self.training:
            self.mean = 0.9 * self.mean + images.detach().mean()
        return super().forward(images) + self.mean

class Extra(Net):
    def get_extra_state(self):
        return {"a": 1}
    def set_extra_state(self, state): ...

class Whole(Net):
    def forward(self, images):
        return super().forward(images).argmax(1, keepdim=True).expand(-1, 4)

class Complex(Net):
    def forward(self, images):
        return super().forward(images) + 0j

class Exits(Net):
    def change(self):
        raise SystemExit(0)

class Cached(Net):
    kept = None
    def forward(self, images):
        if self.kept is None and not torch.is_grad_enabled() and len(images) > 2:
            self.kept = self.layer.weight * 1
        if self.kept is None:
            return super().forward(images)
        return self.output(self.layer(images.flatten(1)) @ self.kept)

class Bare(Loss):
    def __init__(self):
        super().__init__()
        self.scale = torch.ones((), requires_grad=True)
    def per_example(self, logits, target):
        return nn.functional.cross_entropy(logits * self.scale, target, reduction="none")

class Diagnostic:
    every = 1
    finding = Finding({}, {})
    def measure(self, view):
        return self.finding

class Tensors(Diagnostic):
    finding = Finding({"a": torch.ones(())}, {})
class Dict(Diagnostic):
    finding = {"a": 1.0}
class NaN(Diagnostic):
    finding = Finding({}, {"a": {"x": [float("nan")]}})
class Late(Diagnostic):
    every = None
    def measure(self, view):
        return Finding({"a": view.test.logits.nope}, {})
class Often(Diagnostic):
    every = 0
class Never:
    def measure(self, view): ...
class Blind:
    every = 1

class Rateless(torch.optim.SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr)
        for group in self.param_groups:
            group["rate"] = group.pop("lr")

class Muon(torch.optim.Muon):
    pass
'''
OFF = "~model.width ~model.normalization ~model.output_scale ~model.output_bias"
SGD = "~optimizer.momentum ~optimizer.nesterov ~optimizer.fused optimizer._target_="


def net(name: str, *more: str) -> tuple[str, ...]:
    return ("model=small_cnn", *OFF.split(), f"model._target_=own.{name}", *more)


def diagnostic(name: str) -> tuple[str, ...]:
    return ("diagnostics=none", f"+diagnostics.mine._target_=own.{name}")


def optimizer(target: str, *more: str) -> tuple[str, ...]:
    return (*SGD.split()[:-1], SGD.split()[-1] + target, *more)


NO_DECAY = "~optimizer.weight_decay"
ONE_LEFT = ("data.train_size=129", "trainer.batch_size=32")
BAD = [
    (net("Listed"), ("model: a tensor of shape (", "nn.ModuleList")),
    (net("Frozen"), ("none of its parameters requires a gradient",)),
    (net("Auxiliary"), ("model: it returns tuple for 16", "in training mode", "(16, 4)")),
    (net("Normed", *ONE_LEFT), ("the last of 129", "batches of 32", "change trainer.batch_size")),
    (net("Normed", "trainer.batch_size=1"), ("one example alone", "batches of 1 (")),
    (net("Squeezed", *ONE_LEFT), ("the last of 129", "data.train_size")),
    (
        net("Squeezed", "data.source.num_test=1001"),
        ("the last of 1001 in the test part", "data.val_size"),
    ),
    (net("Forgets"), ("model: mean changes in training and is not saved", "persistent=True")),
    (net("Extra"), ("model: its state_dict cannot be saved",)),
    (net("Whole"), ("model: its logits are torch.int64",)),
    (net("Complex"), ("model: its logits are torch.complex64",)),
    (net("Exits"), ("model: SystemExit",)),
    (net("Cached"), ("model: it fails in training mode", "nference tensor")),
    (("~loss.label_smoothing", "loss._target_=own.Bare"), ("loss: a tensor of shape ()",)),
    (diagnostic("Tensors"), ("diagnostics.mine: it fails", "'a' is Tensor; give a number")),
    (diagnostic("Dict"), ("diagnostics.mine: it fails", "returns dict; give Finding(")),
    (diagnostic("NaN"), ("diagnostics.mine: it fails", "JSON")),
    (diagnostic("Late"), ("diagnostics.mine: it fails", "nope")),
    (diagnostic("Often"), ("diagnostics.mine.every=0",)),
    (diagnostic("Never"), ("diagnostics.mine: Never has no 'every'",)),
    (diagnostic("Blind"), ("diagnostics.mine: Blind has no 'measure'",)),
    (
        ("diagnostics=none", "+diagnostics._target_=own.Late"),
        ("diagnostics._target_=own.Late; give a name, and below it _target_",),
    ),
    (
        ("~loss.label_smoothing", "loss._target_=my_own.Bare"),
        ("No module named 'my_own'", "put my_own.py into the working folder", "--config-dir"),
    ),
    (optimizer("torch.optim.LBFGS", NO_DECAY), ("optimizer: LBFGS fails", "closure", "sgd")),
    (optimizer("torch.optim.Muon"), ("optimizer: Muon fails", "2D", "optimizer=sgd")),
    (optimizer("torch.optim.SparseAdam", NO_DECAY), ("optimizer: SparseAdam fails", "dense")),
    (("+optimizer.differentiable=true", "optimizer.fused=false"), ("optimizer: SGD fails",)),
]


@pytest.fixture
def own(losslab, monkeypatch):
    (losslab.folder / "own.py").write_text(OWN)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "own", raising=False)
    return losslab


@pytest.mark.parametrize(("overrides", "says"), BAD, ids=lambda value: " ".join(value)[-60:])
def test_it_is_refused_in_one_line_and_nothing_is_written(own, overrides, says):
    check(own, (*SYNTHETIC, *overrides), says)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Tied", "Unused", "Lazy", "Transposed", "Normed"])
def test_what_is_unusual_and_works(own, name):
    trained = own.run(*net(name), "diagnostics=all", "trainer.epochs=1")
    stored = load_file(trained / "predictions.safetensors")
    saved = load_model(trained)
    images = build(synthetic(), val_size=128).test.images
    with torch.no_grad():
        torch.testing.assert_close(saved(images), stored["test/logits"], rtol=0, atol=1e-4)
    if name == "Tied":
        assert saved.model.twin.weight is saved.model.layer.weight
    again = own.run(*net(name), "trainer.epochs=1", f"init_from={trained}", "optimizer.lr=1e-30")
    assert records(again)[0]["val/nll"] == read(trained / "summary.json")["val/nll"]


@pytest.mark.slow
def test_a_run_without_it_gives_the_same_bits(losslab):
    overrides = (*TINY, "model=small_cnn", "model.normalization=batch", "diagnostics=all")
    with Composer() as composer:
        config = composer.compose([*overrides, "name=bare"])
        torch.manual_seed(1)
        assert perform([plan_run(without_hydra(config), choices_of(config.hydra))]) == ["done"]
    with_it, without = losslab.run(*overrides[1:]), losslab.runs("bare")[0]
    assert results(with_it) == results(without)


@pytest.mark.slow
def test_it_tells_every_tag_that_a_run_records(losslab, monkeypatch):
    module, told = sys.modules["losslab.experiment.run"], []
    dry_run = module.dry_run
    monkeypatch.setattr(module, "dry_run", lambda parts: told.append(dry_run(parts)) or told[0])
    run = losslab.run("model=small_cnn", "diagnostics=all", "data.label_noise=0.4")
    tags = read(run / "summary.json").keys() - {"step", "epoch"}
    unknown = {f"{tag.rpartition('/')[0]}/" for tag in told[0] if tag.endswith("/")}
    assert [t for t in tags - told[0] if not t.startswith(tuple(unknown))] == []
    assert unknown <= {"why/weight_curvature/", "why/geometry/"}  # of few examples there is none
    assert "why/attenuation/ratio/confident_wrong" in told[0]


@pytest.mark.slow
def test_it_is_done_once_for_all_rates_and_seeds(losslab, monkeypatch):
    calls = []
    monkeypatch.setattr(sys.modules["losslab.experiment.run"], "dry_run", calls.append)
    rates = "optimizer.lr=0.1,0.2,0.3"
    losslab.sweep("loss=cross_entropy,mse", rates, "seed=0,1", "trainer.steps=1")
    assert len(calls) == 2
