"""The few types that every floor shares. Imports no torch at run time: the report needs none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

Scalars = dict[str, float]
"""Tag to number, as written to metrics.jsonl and TensorBoard. A missing number is absent."""


Curves = dict[str, dict[str, list[float]]]
"""Name to columns of numbers, as written to curves.jsonl."""


class Batch(NamedTuple):
    """One mini-batch, already on the device.

    Attributes:
        images: ``(N, C, H, W)`` float, normalised.
        labels: ``(N,)`` int64 class indices.
    """

    images: torch.Tensor
    labels: torch.Tensor


class Predictions(NamedTuple):
    """What a model says of a part.

    Attributes:
        logits: ``(N, K)`` float32.
        labels: ``(N,)`` int64 class indices.
    """

    logits: torch.Tensor
    labels: torch.Tensor


class TrainingEpoch(NamedTuple):
    """What the training batches of one epoch gave, in the order of the steps.

    Attributes:
        predictions: Logits ``(N, K)`` before each update, with the labels trained on.
        clean_labels: ``(N,)`` int64, the labels before any label noise.
        batch_size: Examples a step; the last step may have had fewer.
        first_step: Updates made before the epoch.
    """

    predictions: Predictions
    clean_labels: torch.Tensor
    batch_size: int
    first_step: int


class Finding(NamedTuple):
    """What a diagnostic found.

    Attributes:
        scalars: Name to number.
        curves: Name to columns of equal length, e.g. ``{"profile": {"p_true": [...], "norm":
            [...]}}``: what is a curve rather than a number.
    """

    scalars: Scalars
    curves: Curves
