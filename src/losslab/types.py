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
    """One mini-batch, already on the device."""

    images: torch.Tensor  # ``(N, C, H, W)`` float, normalised
    labels: torch.Tensor  # ``(N,)`` int64 class indices


class Predictions(NamedTuple):
    """What a model says of a part."""

    logits: torch.Tensor  # ``(N, K)`` float32
    labels: torch.Tensor  # ``(N,)`` int64 class indices


class TrainingEpoch(NamedTuple):
    """What the training batches of one epoch gave, in the order of the steps."""

    predictions: Predictions  # logits ``(N, K)`` before each update, with the labels trained on
    clean_labels: torch.Tensor  # ``(N,)`` int64, the labels before any label noise
    batch_size: int  # examples a step; the last step may have had fewer
    first_step: int  # updates made before the epoch


class Finding(NamedTuple):
    """What a diagnostic found."""

    scalars: Scalars  # name to number
    # Name to columns of equal length, ``{"profile": {"p_true": [...], "norm": [...]}}``.
    curves: Curves
