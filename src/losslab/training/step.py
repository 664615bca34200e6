"""One update of the weights, and the evaluation of a whole part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from losslab.data import BatchLoader
from losslab.losses import MAP, Terms
from losslab.metrics import ClassificationSums
from losslab.training.capture import capture
from losslab.types import Batch

Update = Callable[[Batch], tuple[Tensor, Terms]]
"""Updates the weights once; gives the logits ``(N, K)`` float32 and the terms before it."""


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

    def replayed(self) -> Update:
        """Return :meth:`update`, forward and backward pass replayed from a CUDA graph, if possible.

        The optimizer is not part of it, so that any one works and gives the same bits.
        """

        def differentiate(images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
            logits = forward(self.model, images, self.autocast)
            terms = self.objective.terms(logits, labels, self.parameters)
            # None for those that the objective does not depend on.
            given = torch.autograd.grad(terms.total, trained, allow_unused=True)
            gradients = list[Tensor | None](given)
            used[:] = [p for p, g in zip(trained, gradients, strict=True) if g is not None]
            found = [g for g in gradients if g is not None]
            return (logits.detach(), *(term.detach() for term in terms), *found)

        groups = self.optimizer.param_groups
        trained = [p for group in groups for p in group["params"] if p.requires_grad]
        used: list[Tensor] = []
        changed = (*self.model.buffers(), *self.objective.buffers())
        differentiate_fast = capture(differentiate, keep=[*trained, *changed])

        def update(batch: Batch) -> tuple[Tensor, Terms]:
            logits, *rest = differentiate_fast(*batch)
            for p, gradient in zip(used, rest[4:], strict=True):
                p.grad = gradient
            self.optimizer.step()
            return logits.clone(), Terms(*rest[:4])

        return update


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
