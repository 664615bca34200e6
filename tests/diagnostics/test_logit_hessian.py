import pytest
import torch
from torch import nn
from torch.autograd.functional import jacobian

from cases import LOSSES, draw, one_hot
from losslab.diagnostics import differentiate_twice, logit_hessian
from losslab.losses import MAP, CrossEntropy, FlatPrior, SquaredError


def objective(loss: nn.Module) -> MAP:
    return MAP(loss, FlatPrior(), num_train=10)


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_against_the_jacobian_of_the_gradient_by_hand(case, num_classes, soft):
    if soft and not case.soft:
        pytest.skip("class indices only")
    logits, target = draw(num_classes=num_classes, soft=soft)
    found = logit_hessian(objective(case.make()), logits, target)
    y = target if soft else one_hot(target, num_classes)
    for i, hessian in enumerate(found):
        row = slice(i, i + 1)
        expected = jacobian(lambda z, y=y[row]: case.gradient(z, y), logits[row])
        torch.testing.assert_close(hessian, expected[0, :, 0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found, found.mT)


class Halved(CrossEntropy):
    def per_example(self, logits, target):
        return super().per_example(logits, target) / 2


def test_a_subclass_has_no_closed_form():
    logits, target = draw()
    whole, half = (
        logit_hessian(objective(loss), logits, target) for loss in (CrossEntropy(), Halved())
    )
    torch.testing.assert_close(half, whole / 2)


def test_any_module_that_gives_one_value_an_example():
    logits, target = draw()
    torch_loss = logit_hessian(objective(nn.CrossEntropyLoss(reduction="none")), logits, target)
    torch.testing.assert_close(torch_loss, logit_hessian(objective(CrossEntropy()), logits, target))


def test_differentiating_works_where_gradients_are_off():
    logits, target = draw()
    with torch.no_grad():
        found = differentiate_twice(SquaredError("none").per_example, logits, target)
    torch.testing.assert_close(found, (2 / 5 * torch.eye(5)).double().expand_as(found))
