"""Types that all packages share. Does not import torch at run time, as reports work without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

Scalars = dict[str, float]
"""Tag -> number, as in metrics.jsonl and TensorBoard. Missing numbers are absent."""

Curves = dict[str, dict[str, list[float]]]
"""Name -> columns of numbers, as in curves.jsonl."""


def plain(value: Any) -> Any:
    """Return a numpy or torch scalar as a Python number, anything else unchanged.

    >>> import numpy as np
    >>> plain(np.int64(3)), plain(np.array(0.5)), plain("word")
    (3, 0.5, 'word')
    """
    return value.item() if getattr(value, "ndim", None) == 0 else value


class Batch(NamedTuple):
    """One mini-batch, already on the device."""

    images: torch.Tensor  # ``(N, C, H, W)`` float, normalised
    labels: torch.Tensor  # ``(N,)`` int64 class indices


class Predictions(NamedTuple):
    """A model's outputs for one part of the data, such as the test part."""

    logits: torch.Tensor  # ``(N, K)`` float32
    labels: torch.Tensor  # ``(N,)`` int64 class indices


class TrainingEpoch(NamedTuple):
    """The outputs for the training batches of one epoch, in the order of the steps."""

    predictions: Predictions  # logits ``(N, K)`` before each update, and the labels used
    clean_labels: torch.Tensor  # ``(N,)`` int64, the labels before any label noise
    batch_size: int  # examples per step; the last step may have fewer
    first_step: int  # number of updates before the epoch


class Finding(NamedTuple):
    """The result of a diagnostic."""

    scalars: Scalars
    curves: Curves  # columns of equal length: ``{"profile": {"p_true": [...], "norm": [...]}}``
