from pathlib import Path

import pytest
import torch
from torch import nn

from losslab.diagnostics import DiagnosticRunner, View, probe_of
from losslab.types import Batch, Finding, Predictions
from viewing import view


class Spy:
    def __init__(self, every):
        self.every = every
        self.views = []

    def measure(self, view):
        self.views.append(view)
        torch.rand(3)  # a careless one draws from the global stream
        return Finding({"seen": float(len(self.views))}, {})


def runner(**diagnostics) -> DiagnosticRunner:
    seen = view()
    return DiagnosticRunner(
        diagnostics, model=seen.model.train(), objective=seen.objective, probe=seen.probe
    )


def test_every_diagnostic_has_tests():
    here = Path(__file__).parent
    choices = {
        path.stem: path.read_text("utf-8") for path in here.parents[1].glob("conf/diagnostics/*")
    }
    own = [name for name, text in choices.items() if f"\n{name}:\n" in text]  # the others are lists
    assert len(own) > 10
    without = [name for name in own if not (here / f"test_{name}.py").exists()]
    assert without == [], "write tests/diagnostics/test_NAME.py"


def test_each_looks_at_its_own_cadence():
    often, seldom, once = Spy(1), Spy(3), Spy(None)
    runs = runner(often=often, seldom=seldom, once=once)
    for epoch in range(6):
        runs.after_epoch(epoch, {}, None, epoch == 5)
    assert [len(spy.views) for spy in (often, seldom, once)] == [6, 3, 0]
    part = Predictions(torch.zeros(2, 4), torch.tensor([0, 1]))
    assert runs.after_training({}, val=part, test=part).scalars == {"why/once/seen": 1.0}
    assert once.views[0].test is part
    assert [len(spy.views) for spy in (often, seldom)] == [6, 3]


def test_the_probe_may_be_a_pair_of_tensors():
    seen, spy = view(), Spy(1)
    options = {"model": seen.model, "objective": seen.objective}
    runs = DiagnosticRunner({"spy": spy}, probe=tuple(seen.probe), **options)
    runs.after_epoch(0, {}, None, True)
    assert torch.equal(spy.views[0].labels, seen.probe.labels)


def test_it_leaves_the_mode_and_the_random_stream_as_they_were():
    spy = Spy(1)
    runs = runner(spy=spy)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    runs.after_epoch(0, {}, None, False)
    assert torch.rand(1) == expected
    assert spy.views[0].model.training  # again, after it looked


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "often"])
def test_a_cadence_is_a_whole_number(every):
    with pytest.raises(ValueError, match=f"diagnostics.spy.every={every}; give a whole number"):
        runner(spy=Spy(every))


def test_the_path_is_thinned_out_and_is_unknown_without_its_beginning():
    spy = Spy(None)
    assert runner(spy=spy).state() == {}
    spy.follows_path = True
    runs = runner(spy=spy)
    for epoch in range(71):
        with torch.no_grad():
            runs.model.output.bias.fill_(epoch)
        runs.after_epoch(epoch, {}, None, False)
        assert len(runs.path) <= 34
        assert [w[-1] for w in runs.path.values()] == list(runs.path)
    assert list(runs.path) == [*range(0, 69, 4), 70]
    resumed = runner(spy=spy)
    resumed.load_state(runs.state())
    assert resumed.path is runs.path
    resumed.load_state({})
    resumed.after_epoch(71, {}, None, False)
    assert resumed.path is None


def test_a_view_changes_nothing():
    seen = view()
    before = {name: value.clone() for name, value in seen.model.state_dict().items()}
    assert seen.logit_gradients.shape == seen.logits.shape
    assert set(seen.parameter_gradients) == set(dict(seen.model.named_parameters()))
    assert all(parameter.grad is None for parameter in seen.model.parameters())
    assert all(torch.equal(before[n], v) for n, v in seen.model.state_dict().items())
    assert torch.equal(seen.model.output(seen.features).detach(), seen.logits)


def test_nothing_is_seen_of_weights_that_are_not_finite():
    spy = Spy(1)
    runs = runner(spy=spy)
    runs.model.output.bias.data[0] = float("nan")
    assert runs.after_epoch(0, {}, None, False) == Finding({}, {})
    assert spy.views == []


def test_logits_of_any_type_are_looked_at_in_float64():
    seen = view(model=nn.Sequential(nn.Flatten(), nn.Linear(16, 4)))
    half = View(
        model=seen.model.bfloat16(),
        objective=seen.objective,
        probe=Batch(seen.probe.images.bfloat16(), seen.probe.labels),
        initial={},
        recorded={},
    )
    assert half.logits.dtype == half.logit_gradients.dtype == torch.float64
    assert half.features is None


def test_the_probe_is_the_beginning_of_the_part():
    batches = [Batch(torch.full((3, 1), i), torch.full((3,), i)) for i in range(3)]
    probe = probe_of(iter(batches), 5)
    assert probe.labels.tolist() == [0, 0, 0, 1, 1]
    assert len(probe_of(iter(batches), 100).labels) == 9
