"""Evaluate a model on a whole part."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from losslab.data import BatchLoader
from losslab.metrics import ClassificationSums


class Evaluation(NamedTuple):
    """The metrics of a part, and the predictions that they come from.

    Attributes:
        sums: Accuracy, NLL, Brier score and ECE as sums.
        logits: ``(N, K)`` float32.
        labels: ``(N,)`` int64.
    """

    sums: ClassificationSums
    logits: Tensor
    labels: Tensor


@torch.inference_mode()
def evaluate(
    model: nn.Module, loader: BatchLoader, *, autocast: torch.dtype | None = None
) -> Evaluation:
    """Run ``model`` in evaluation mode over all examples in order; leave its mode as it was.

    Args:
        model: Gives logits ``(N, K)``.
        loader: The part.
        autocast: Type of the forward pass, ``None`` for the model's own.
    """
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
