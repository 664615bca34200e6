"""One update of the weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from losslab.losses import MAP, Terms
from losslab.types import Batch


@dataclass(frozen=True)
class TrainingStep:
    """Forward, objective, backward, update.

    Attributes:
        model: In training mode, on the device.
        objective: Mean likelihood term plus prior.
        optimizer: Over ``parameters``.
        parameters: What is trained and what the prior is about.
        autocast: Type of the forward pass, ``None`` for float32.
    """

    model: nn.Module
    objective: MAP
    optimizer: torch.optim.Optimizer
    parameters: Sequence[Tensor]
    autocast: torch.dtype | None = None

    def update(self, batch: Batch) -> tuple[Tensor, Terms]:
        """Update the weights once; return the logits ``(N, K)`` float32 and the terms before it."""
        if self.autocast is None:
            logits = self.model(batch.images)
        else:
            with torch.autocast(batch.images.device.type, dtype=self.autocast):
                logits = self.model(batch.images)
            logits = logits.float()
        terms = self.objective.terms(logits, batch.labels, self.parameters)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(terms.total)
        self.optimizer.step()
        return logits.detach(), terms
