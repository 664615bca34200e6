"""A custom loss with parameters and buffers: trained, saved, resumed."""

import pytest
import torch
from safetensors.torch import load_file

from losslab.experiment import train as module
from running import TINY, read, records, results, status

OWN = """
import torch
from torch import nn
from losslab.losses import CrossEntropy, Loss

class Towards3(Loss):
    def __init__(self):
        super().__init__()
        self.place = nn.Sequential(nn.Identity())
        self.place.register_parameter("at", nn.Parameter(torch.zeros(())))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def per_example(self, logits, target):
        if self.training:
            self.seen += len(target)
        distance = (self.place.at - 3).square()
        return nn.functional.cross_entropy(logits, target, reduction="none") + distance
"""
LOSS = ("~loss.label_smoothing", "loss._target_=own_loss.Towards3")
PRIOR = ("loss=map_gaussian", "~loss.likelihood.label_smoothing", "loss.prior.std=0.1")
MORE = {
    "alone": LOSS,
    "beside weight decay": (*LOSS, "optimizer.weight_decay=0.1"),
    "beside a prior": (*PRIOR, "loss.likelihood._target_=own_loss.Towards3"),
    "with a schedule": (*LOSS, "schedule=cosine"),
}
EXAMPLES, STEPS = 384, 24


@pytest.fixture
def own(losslab):
    (losslab.folder / "own_loss.py").write_text(OWN)
    return losslab


@pytest.mark.slow
@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
def test_it_is_trained_and_saved_and_no_penalty_acts_on_it(own, more):
    run = own.run("schedule=constant", *more)
    at = velocity = 0.0
    for step in range(STEPS):
        progress = step / STEPS
        factor = (1 + torch.tensor(torch.pi * progress).cos()) / 2 if "cosine" in more[-1] else 1
        velocity = 0.9 * velocity + 2 * (at - 3)
        at -= 0.05 * float(factor) * velocity
    kept = load_file(run / "loss.safetensors")
    assert float(kept["likelihood.place.at"]) == pytest.approx(at, abs=1e-4)
    # Neither the dry run nor a diagnostic is counted.
    assert int(kept["likelihood.seen"]) == 2 * EXAMPLES
    assert "loss.safetensors" in read(run / "status.json")["sha256"]


def test_weights_are_those_that_the_same_loss_without_a_parameter_gives(own):
    with_parameter, without = own.run(*LOSS), own.run("loss=cross_entropy")
    one, other = (load_file(run / "model.safetensors") for run in (with_parameter, without))
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in other)
    assert not (without / "loss.safetensors").exists()


class Stop(BaseException):
    """The process is gone."""


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_it_resumes_to_the_bit(own, monkeypatch, optimizer):
    many = (*LOSS, "trainer.epochs=3", f"optimizer={optimizer}")
    undisturbed = own.run(*many)
    save = module.save_checkpoint

    def stopping(*arguments):
        save(*arguments)
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_checkpoint", stopping)
        with pytest.raises(Stop):
            own.call("train", *TINY, *many)
    (run,) = own.runs()
    assert status(run) == "running"
    own.train(*many)
    assert results(run) == results(undisturbed)
    assert records(run) == records(undisturbed)
    kept = [(path / "loss.safetensors").read_bytes() for path in (run, undisturbed)]
    assert kept[0] == kept[1]
