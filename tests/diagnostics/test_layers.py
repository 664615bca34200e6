import copy

import pytest
import torch
from torch import nn

from losslab.diagnostics import Layers
from losslab.losses import CrossEntropy, SquaredError
from losslab.models import DeepCNN, ResNet20
from losslab.types import Batch
from viewing import view


@pytest.mark.parametrize("loss", [CrossEntropy(), SquaredError()])
def test_against_a_backward_pass(loss):
    seen = view(loss)
    model = copy.deepcopy(seen.model)
    loss(model(seen.probe.images), seen.probe.labels).backward()
    expected = {}
    for layer in ("features.1", "output"):
        parameters = list(model.get_submodule(layer).parameters())
        assert len(parameters) == 2
        for name, values in (("weight", parameters), ("grad", [p.grad for p in parameters])):
            whole = torch.cat([value.flatten() for value in values])
            expected[f"{name}_norm/{layer}"] = whole.norm().item()
    assert Layers().measure(seen).scalars == pytest.approx(expected)


class Faint(CrossEntropy):
    def per_example(self, logits, target):
        return super().per_example(logits, target) * 1e-25


def test_a_small_gradient_in_float32_is_not_0():
    found = []
    for loss in (CrossEntropy(), Faint()):
        seen = view(loss, probe=Batch(view().probe.images.float(), view().labels))
        seen.model.float()
        found.append(Layers().measure(seen).scalars)
    plain, faint = found
    for name, value in plain.items():
        scale = 1e-25 if name.startswith("grad") else 1
        assert faint[name] == pytest.approx(value * scale, rel=1e-5, abs=0)


def shown(model: nn.Module) -> list[str]:
    probe = Batch(torch.zeros(4, 3, 16, 16, dtype=torch.float64), torch.arange(4))
    found = Layers().measure(view(model=model, probe=probe)).scalars
    layers = [name.removeprefix("grad_norm/") for name in found if name.startswith("grad_norm/")]
    assert set(found) == {f"{kind}_norm/{layer}" for kind in ("weight", "grad") for layer in layers}
    return layers


def test_normalisation_layers_are_none():
    layers = shown(DeepCNN((3, 16, 16), 4, width=2))
    assert layers == [*(f"features.{i}" for i in (0, 3, 7, 10, 14, 17)), "output"]


def test_a_deep_network_shows_eight_from_first_to_last():
    layers = shown(ResNet20((3, 16, 16), 4, width=2))
    assert (len(layers), layers[0], layers[-1]) == (8, "features.0", "output")


class Own(nn.Module):
    """No ``output``, a parameter of its own, and one that nothing uses."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 16))
        self.unused = nn.Linear(2, 2)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)

    def forward(self, images):
        return self.frozen(images.flatten(1) @ self.weight.T)


def test_a_layer_without_a_gradient():
    found = Layers().measure(view(model=Own())).scalars
    assert set(found) == {
        "weight_norm/weight",
        "grad_norm/weight",
        "weight_norm/unused",
        "weight_norm/frozen",
    }
    assert found["weight_norm/weight"] == 8
