"""Weight and gradient norms, layer by layer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from losslab.diagnostics.view import Diagnostic, View, floats
from losslab.types import Finding

MOST = 8
"""Layers shown, evenly spaced from the first to the last, to keep TensorBoard readable."""


@dataclass(frozen=True, kw_only=True)
class Layers(Diagnostic):
    """‖W‖₂ and ‖∂L/∂W‖₂ of each layer's parameters W, L the mean loss over the probe.

    ``weight_norm/<layer>`` and ``grad_norm/<layer>``, named after the module, such as
    ``features.0``. A layer is a module that has a parameter with two axes or more, together with
    its bias; normalisation layers do not count. At most 8 are shown (:data:`MOST`). The gradient is
    without the prior's, and absent for a layer that the loss does not reach.

    Reading: under mechanisms A (attenuation by softmax) and C (scale of the gradient) the
    gradients of all layers are small together. A gradient that falls from the last layer to the
    first is the network's doing, not the loss's. Cost: one backward pass through the network for
    the probe, the most expensive of the cheap diagnostics.
    """

    every: int | None = 2

    def measure(self, view: View) -> Finding:
        """Return norms ≥ 0; the gradients' are in units of the loss per unit of a weight."""
        weights = {name: value.detach() for name, value in view.model.named_parameters()}
        gradients = view.parameter_gradients
        norms: dict[str, Tensor] = {}
        for layer, parameters in _layers(view.model).items():
            norms[f"weight_norm/{layer}"] = _norm([weights[name] for name in parameters])
            reached = [gradients[name] for name in parameters if name in gradients]
            if reached:
                norms[f"grad_norm/{layer}"] = _norm(reached)
        return Finding(floats(norms), {})


def _norm(tensors: list[Tensor]) -> Tensor:
    """Return the norm ``()`` of all; in float32 the square of a number below 1e-23 would be 0."""
    norm = get_total_norm(tensors)
    scale = 2.0**80  # a power of two rounds nothing
    return torch.where(norm < 2.0**-48, get_total_norm([t * scale for t in tensors]) / scale, norm)


def _layers(model: nn.Module) -> dict[str, list[str]]:
    """Return the names of the parameters of each layer to show."""
    parameters: dict[str, list[str]] = {}
    for name, _ in model.named_parameters():
        parameters.setdefault(name.rpartition(".")[0] or name, []).append(name)
    matrices = {name for name, p in model.named_parameters() if p.dim() >= 2}
    layers = [layer for layer, names in parameters.items() if not matrices.isdisjoint(names)]
    if len(layers) > MOST:
        last = len(layers) - 1
        layers = [layers[round(i * last / (MOST - 1))] for i in range(MOST)]
    return {layer: parameters[layer] for layer in layers}
