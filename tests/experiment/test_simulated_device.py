"""Every choice on another device than the CPU, simulated, so that no GPU is needed."""

import json

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from losslab import Run
from losslab.experiment import Composer
from losslab.experiment import train as saving
from losslab.losses import Focal
from losslab.study import numbers
from losslab.training import fit
from running import CHOICES, GROUPS, TINY, results
from simulating import NAME, SimulatedDevice, simulated_device


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x + torch.ones(3),
        lambda x: torch.nn.functional.cross_entropy(x, torch.tensor([0, 1])),
        lambda x: x.index_select(0, torch.tensor([0])),
        lambda x: torch.ones(3).add_(x[0]),
        lambda x: torch.ones(3)[x[0].long()],
        lambda x: x.numpy(),
    ],
)
def test_what_fails_on_a_gpu_fails_there(operation):
    with SimulatedDevice(), pytest.raises((RuntimeError, TypeError), match=r"device|numpy"):
        operation(torch.zeros(2, 3, device=NAME))


def test_float64_fails_where_there_is_none():
    with SimulatedDevice(float64=False), pytest.raises(TypeError, match="no float64"):
        torch.zeros(2, device=NAME).double()


def test_what_a_gpu_can_do_works_there():
    with SimulatedDevice() as device:
        x = torch.arange(6.0).reshape(2, 3).to(NAME).requires_grad_()
        (x * torch.tensor(2.0)).square().sum().backward()
        assert x.grad.device.type == NAME
        assert x.grad[torch.tensor([1])].tolist() == [[24.0, 32.0, 40.0]]
        assert (x.grad.cpu() == 8 * torch.arange(6.0).reshape(2, 3)).all()
        assert device.operations > 5


def test_the_table_has_every_choice():
    with Composer() as composer:
        assert {f"{group}={choice}" for group in GROUPS for choice in composer.choices(group)} == {
            *CHOICES
        }


def trained(losslab, *words, device="cpu"):
    """Return the run that the words train on a device."""
    losslab.train("trainer.epochs=1", *words, f"trainer.device={device}", f"name={device}")
    (run,) = losslab.runs(device)
    return run


def assert_the_same(one, other):
    """The weights and predictions to the bit; norms are summed in another order."""
    one, other = results(one), results(other)
    here, there = (json.loads(files.pop("summary.json")) for files in (one, other))
    assert there == pytest.approx(here, rel=1e-5, abs=1e-6, nan_ok=True)
    assert one == other


every_choice = pytest.mark.parametrize(
    "words",
    [
        ("diagnostics=all", "model=mlp", "loss=map_gaussian", "data.label_noise=0.3"),
        *(
            pytest.param((choice,), marks=pytest.mark.slow)
            for choice in (*CHOICES, "trainer.pictures_every=1")
        ),
    ],
    ids=" ".join,
)


@every_choice
def test_a_run_gives_the_numbers_of_the_cpu(losslab, monkeypatch, words):
    one = trained(losslab, *words)
    with simulated_device(monkeypatch) as device:
        other = trained(losslab, *words, device=NAME)
    assert device.operations > 100
    assert_the_same(one, other)


@every_choice
def test_a_run_needs_no_float64_on_the_device(losslab, monkeypatch, words):
    one = trained(losslab, *words)
    with simulated_device(monkeypatch, float64=False):
        other = trained(losslab, *words, device=NAME)
    weights = [load_file(run / "model.safetensors") for run in (one, other)]
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-6)


def test_a_run_resumes_and_is_evaluated(losslab, monkeypatch):
    one = trained(losslab, "trainer.epochs=2")
    save = saving.save_checkpoint

    def save_and_stop(*arguments, **options):
        save(*arguments, **options)
        raise KeyboardInterrupt

    with simulated_device(monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(saving, "save_checkpoint", save_and_stop)
            result = losslab.call("train", *TINY, f"trainer.device={NAME}", f"name={NAME}")
        assert result.code == 130
        other = trained(losslab, "trainer.epochs=2", device=NAME)
        assert "resuming" in (other / "log.txt").read_text()
        assert_the_same(one, other)
        found = losslab.call("evaluate", str(other), f"trainer.device={NAME}")
    assert found == losslab.call("evaluate", str(one))


def test_the_signal_and_curvature_of_a_run(losslab, monkeypatch):
    def speed(device):
        with Composer() as composer:
            config = composer.compose([*TINY, f"trainer.device={device}"])
        return numbers._speed(Run(root=losslab.folder, group="any", seed=0, composed=config))

    one = speed("cpu")
    with simulated_device(monkeypatch):
        assert speed(NAME) == pytest.approx(one)


@pytest.mark.slow
def test_a_stack_gives_the_numbers_of_the_cpu(losslab, monkeypatch):
    words = ("model=mlp", "loss=cross_entropy,mse_softmax,map_gaussian", "trainer.engine=stacked")
    words += ("trainer.epochs=1", "diagnostics=default")
    losslab.sweep(*words, "name=cpu")
    with simulated_device(monkeypatch) as device:
        losslab.sweep(*words, f"trainer.device={NAME}")
    assert device.operations > 1000
    for one, other in zip(losslab.runs("cpu"), losslab.runs(), strict=True):
        here, there = (json.loads((run / "summary.json").read_text()) for run in (one, other))
        assert there == pytest.approx(here, rel=1e-4, abs=1e-5, nan_ok=True)


def test_your_own_model_and_tensors(monkeypatch):
    def train():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = torch.nn.Linear(3, 2)
            inputs, labels = torch.randn(20, 3), torch.randint(2, (20,))
        examples = inputs.to(where), labels.to(where)
        model = model.to(where)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        words = {"train": examples, "val": examples, "epochs": 2, "batch_size": 8}
        return fit(model, Focal(), optimizer, **words), [p.tolist() for p in model.parameters()]

    where = "cpu"
    one = train()
    with simulated_device(monkeypatch):
        where = NAME
        other = train()
    tags = [tag for tag in one[0] if not tag.startswith("time/")]
    pd.testing.assert_frame_equal(one[0][tags], other[0][tags])
    assert one[1] == other[1]
