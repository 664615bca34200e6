"""The few types that every floor shares. Imports no torch at run time: the report needs none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

Scalars = dict[str, float]
"""Tag to number, as written to metrics.jsonl and TensorBoard. A missing number is absent."""


class Batch(NamedTuple):
    """One mini-batch, already on the device.

    Attributes:
        images: ``(N, C, H, W)`` float, normalised.
        labels: ``(N,)`` int64 class indices.
    """

    images: torch.Tensor
    labels: torch.Tensor
