"""One update of the weights, and the evaluation of a whole part."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from losslab.data import BatchLoader
from losslab.losses import MAP, Terms
from losslab.metrics import ClassificationSums
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

    ``parameters`` are the model's; the optimizer updates those of the objective, too.
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

    def load_state(self, state: dict[str, Any]) -> None:
        """Load what :meth:`state` returned."""
        self.model.load_state_dict(state["model"])
        self.objective.load_state_dict(state.get("loss", {}))
        self.optimizer.load_state_dict(state["optimizer"])

    def update(self, batch: Batch) -> tuple[Tensor, Terms]:
        """Update the weights once; return the logits ``(N, K)`` float32 and the terms before it."""
        logits = forward(self.model, batch.images, self.autocast)
        terms = self.objective.terms(logits, batch.labels, self.parameters)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(terms.total)
        self.optimizer.step()
        return logits.detach(), terms


class Evaluation(NamedTuple):
    """The metrics of a part, and the logits ``(N, K)`` float32 that they come from."""

    sums: ClassificationSums
    logits: Tensor
    labels: Tensor


@torch.inference_mode()
def evaluate(
    model: nn.Module, loader: BatchLoader, *, autocast: torch.dtype | None = None
) -> Evaluation:
    """Run ``model`` in evaluation mode over all examples in order; its mode is restored."""
    was_training = model.training
    model.eval()
    logits, labels = [], []
    with torch.autocast(loader.device.type, dtype=autocast, enabled=autocast is not None):
        for batch in loader.in_order():
            logits.append(model(batch.images))
            labels.append(batch.labels)
    model.train(was_training)
    all_logits, all_labels = torch.cat(logits).float(), torch.cat(labels)
    return Evaluation(ClassificationSums.of(all_logits, all_labels), all_logits, all_labels)
