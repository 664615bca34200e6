"""One update of the weights, and the evaluation of a model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from losslab.data import BatchLoader
from losslab.losses import MAP, CrossEntropy, Terms
from losslab.metrics import ClassificationSums
from losslab.training.capture import capture
from losslab.types import Batch, Scalars

Update = Callable[[Batch], tuple[Tensor, Terms]]
"""Updates the weights once; returns the logits ``(N, K)`` float32 and the terms before it."""


def forward(model: nn.Module, images: Tensor, autocast: torch.dtype | None) -> Tensor:
    """Return the logits ``(N, K)``, with ``autocast`` as the type of the forward pass if given."""
    if autocast is None:
        logits: Tensor = model(images)
        return logits
    with torch.autocast(images.device.type, dtype=autocast):
        logits = model(images)
    return logits.float()


@dataclass(frozen=True)
class TrainingStep:
    """Forward pass, objective, backward pass, update.

    ``parameters`` are those of the model; the optimizer may also have those of the objective.
    """

    model: nn.Module
    objective: MAP
    optimizer: torch.optim.Optimizer
    parameters: Sequence[Tensor]
    autocast: torch.dtype | None = None

    def state(self) -> dict[str, Any]:
        """Return the state that the next updates depend on, for a checkpoint."""
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        loss = self.objective.state_dict()
        return state | {"loss": loss} if loss else state

    def load_state(self, state: dict[str, Any]) -> None:
        """Load a state that :meth:`state` returned."""
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
        """Return :meth:`update` with both passes replayed from a CUDA graph, if possible.

        The optimizer is not in the graph, so that every optimizer works and gives the same bits.
        """

        def differentiate(images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
            logits = forward(self.model, images, self.autocast)
            terms = self.objective.terms(logits, labels, self.parameters)
            # None for a parameter that the objective does not depend on.
            gradients: Sequence[Tensor | None] = torch.autograd.grad(
                terms.total, trained, allow_unused=True
            )
            pairs = [(p, g) for p, g in zip(trained, gradients, strict=True) if g is not None]
            used[:] = [p for p, _ in pairs]
            return (logits.detach(), *(term.detach() for term in terms), *(g for _, g in pairs))

        groups = self.optimizer.param_groups
        trained = [p for group in groups for p in group["params"] if p.requires_grad]
        used: list[Tensor] = []
        changed = (*self.model.buffers(), *self.objective.buffers())
        differentiate_fast = capture(differentiate, keep=[*trained, *changed])

        def update(batch: Batch) -> tuple[Tensor, Terms]:
            logits, *outputs = differentiate_fast(*batch)
            for p, gradient in zip(used, outputs[4:], strict=True):
                p.grad = gradient
            self.optimizer.step()
            return logits.clone(), Terms(*outputs[:4])

        return update


def step_numbers(terms: Terms, grad_norm: Tensor, weight_norm: Tensor) -> dict[str, Tensor]:
    """Return the numbers recorded of an update by tag, each ``()``, or ``(R,)`` of R runs."""
    return {
        "train/objective": terms.total,
        "train/likelihood": terms.likelihood,
        "train/prior": terms.prior,
        "optim/grad_norm": grad_norm,
        "optim/weight_norm": weight_norm,
    }


def decomposition(likelihood: nn.Module, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return H(y, p), H(y) and KL(y‖p) of each example by tag, nothing but for cross-entropy."""
    if not isinstance(likelihood, CrossEntropy):
        return {}
    parts = likelihood.decompose(logits, labels)
    return {f"train/{name}": part for name, part in parts._asdict().items()}


class Evaluation(NamedTuple):
    """The metrics of a part of the data, with the logits ``(N, K)`` float32 and the labels."""

    sums: ClassificationSums
    logits: Tensor
    labels: Tensor


@torch.inference_mode()
def evaluate(
    model: nn.Module, loader: BatchLoader, *, autocast: torch.dtype | None = None
) -> Evaluation:
    """Evaluate ``model`` in evaluation mode on all examples in order, then restore its mode."""
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


def tagged(part: str, sums: ClassificationSums) -> Scalars:
    """Return the metrics of a part of the data by tag, such as ``val/accuracy``."""
    return {f"{part}/{name}": value for name, value in sums.scalars().items()}
