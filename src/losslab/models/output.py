"""The last layer, the same for every model."""

import torch
from torch import nn


def output_layer(in_features: int, num_classes: int, *, scale: float) -> nn.Linear:
    """Return a linear layer whose initial weights and bias are multiplied by ``scale``.

    A large scale makes a network confident, and mostly wrong, before it has learned anything.

    Raises:
        ValueError: ``scale`` not a positive finite number, or fewer than 2 classes.

    >>> output_layer(8, 3, scale=1.0).weight.shape
    torch.Size([3, 8])
    """
    if not 0.0 < scale < float("inf"):
        raise ValueError(f"output_scale={scale}; give a finite number above 0")
    if num_classes < 2:
        raise ValueError(f"num_classes={num_classes}; give at least 2")
    layer = nn.Linear(in_features, num_classes)
    with torch.no_grad():
        layer.weight.mul_(scale)
        layer.bias.mul_(scale)
    return layer
