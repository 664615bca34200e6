"""Weight and gradient norms, layer by layer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from losslab.diagnostics.view import View
from losslab.types import Finding

MOST = 8
"""Layers shown; of a deeper network so many evenly spaced ones, the first and the last among
them, so that TensorBoard stays readable and quick."""


@dataclass(frozen=True, kw_only=True)
class Layers:
    """‖W‖₂ and ‖∂L/∂W‖₂ of each layer's parameters W, L the mean loss over the probe.

    ``weight_norm/<layer>`` and ``grad_norm/<layer>``, named after the module, such as
    ``features.0``. A layer is a module that has a parameter with two axes or more; its bias
    belongs to it, and normalisation layers are none. At most 8 are shown (:data:`MOST`). The
    gradient is without the prior's, and absent for a layer that the loss does not reach.

    Reading: where mechanisms A or C hold, the gradients of all layers are small together. A
    gradient that falls from the last layer to the first is the network's doing, not the loss's.

    Cost: one backward pass through the network for the probe, by far the dearest of the cheap
    diagnostics.

    Attributes:
        every: Epochs between two looks.
    """

    every: int | None = 2

    def measure(self, view: View) -> Finding:
        """Return norms ≥ 0; the gradients' are in units of the loss per unit of a weight."""
        weights = {name: value.detach() for name, value in view.model.named_parameters()}
        gradients = view.parameter_gradients
        norms: dict[str, Tensor] = {}
        for layer, parameters in _layers(view.model).items():
            norms[f"weight_norm/{layer}"] = get_total_norm([weights[name] for name in parameters])
            reached = [gradients[name] for name in parameters if name in gradients]
            if reached:
                norms[f"grad_norm/{layer}"] = get_total_norm(reached)
        if not norms:
            return Finding({}, {})
        values = torch.stack(list(norms.values())).tolist()
        return Finding(dict(zip(norms, values, strict=True)), {})


def _layers(model: nn.Module) -> dict[str, list[str]]:
    """Return the names of the parameters by layer, of the layers to show."""
    grouped: dict[str, list[str]] = {}
    matrices = set()
    for name, parameter in model.named_parameters():
        layer = name.rpartition(".")[0] or name
        grouped.setdefault(layer, []).append(name)
        if parameter.dim() >= 2:
            matrices.add(layer)
    names = [layer for layer in grouped if layer in matrices]
    if len(names) > MOST:
        last = len(names) - 1
        names = [names[round(i * last / (MOST - 1))] for i in range(MOST)]
    return {layer: grouped[layer] for layer in names}
