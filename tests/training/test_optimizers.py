import pytest
import torch

from losslab.training.optimizers import nesterov


@pytest.mark.parametrize("rate", [0.1, 5.0])
def test_weight_decay_shrinks_by_the_same_share_at_every_rate(rate):
    weight = torch.ones(3, requires_grad=True)
    optimizer = nesterov([weight], rate, momentum=0.5, weight_decay=0.01)
    weight.grad = torch.zeros(3)
    optimizer.step()
    # Nesterov: 1 + momentum times the first step.
    torch.testing.assert_close(weight.detach(), torch.full((3,), 1 - 1.5 * 0.01))


def test_it_is_torchs_sgd():
    first, second = (torch.ones(3, requires_grad=True) for _ in range(2))
    same = {"momentum": 0.9, "nesterov": True, "weight_decay": 0.004 / 0.2}
    ours = nesterov([first], 0.2, momentum=0.9, weight_decay=0.004)
    theirs = torch.optim.SGD([second], lr=0.2, **same)
    for _ in range(3):
        for weight, optimizer in ((first, ours), (second, theirs)):
            optimizer.zero_grad()
            weight.pow(4).sum().backward()
            optimizer.step()
    assert torch.equal(first, second)
