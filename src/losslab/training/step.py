"""One update of the weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from losslab.losses import MAP, Terms
from losslab.types import Batch


def forward(model: nn.Module, images: Tensor, autocast: torch.dtype | None) -> Tensor:
    """Return the logits ``(N, K)``; float32 where ``autocast`` is the type of the forward pass."""
    if autocast is None:
        logits: Tensor = model(images)
        return logits
    with torch.autocast(images.device.type, dtype=autocast):
        logits = model(images)
    return logits.float()


@dataclass(frozen=True)
class TrainingStep:
    """Forward, objective, backward, update.

    Attributes:
        model: In training mode, on the device.
        objective: Mean likelihood term plus prior.
        optimizer: Over ``parameters`` and those of the objective itself, if it has any.
        parameters: The model's: what the prior and the norms are about.
        autocast: Type of the forward pass, ``None`` for float32.
    """

    model: nn.Module
    objective: MAP
    optimizer: torch.optim.Optimizer
    parameters: Sequence[Tensor]
    autocast: torch.dtype | None = None

    def state(self) -> dict[str, Any]:
        """Return what the next updates depend on, for a checkpoint."""
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        loss = self.objective.state_dict()
        return state | {"loss": loss} if loss else state

    def update(self, batch: Batch) -> tuple[Tensor, Terms]:
        """Update the weights once; return the logits ``(N, K)`` float32 and the terms before it."""
        logits = forward(self.model, batch.images, self.autocast)
        terms = self.objective.terms(logits, batch.labels, self.parameters)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(terms.total)
        self.optimizer.step()
        return logits.detach(), terms
