"""The last layer, the same for every model."""

import math

import torch
from torch import nn


def output_layer(in_features: int, num_classes: int, *, scale: float, bias: float) -> nn.Linear:
    """Return a linear layer whose initial values make a network confident if asked to.

    Two ways to be confident, and mostly wrong, before anything is learned: a large ``scale``, which
    also multiplies every gradient that reaches the layers below; and a large ``bias``, which leaves
    those as they are.

    Args:
        in_features: D.
        num_classes: K, at least 2.
        scale: Factor on the initial weights and biases, above 0.
        bias: Added to the initial bias of class 0, after that; then p_0 is about
            e^bias / (e^bias + K − 1) for every example.

    Raises:
        ValueError: An argument out of range.

    >>> layer = output_layer(8, 3, scale=1.0, bias=5.0)
    >>> layer.weight.shape, bool(layer.bias[0] > 4)
    (torch.Size([3, 8]), True)
    """
    if not 0.0 < scale < float("inf"):
        raise ValueError(f"output_scale={scale}; give a finite number above 0")
    if not math.isfinite(bias):
        raise ValueError(f"output_bias={bias}; give a finite number")
    if num_classes < 2:
        raise ValueError(f"num_classes={num_classes}; give at least 2")
    layer = nn.Linear(in_features, num_classes)
    with torch.no_grad():
        layer.weight.mul_(scale)
        layer.bias.mul_(scale)
        layer.bias[0] += bias
    return layer
