"""What the models share: features, the last layer, normalisation and checks."""

import math

import torch
from torch import Tensor, nn

Shape = tuple[int, int, int]
"""``(C, H, W)`` of an image."""

GROUPS = 8


class Classifier(nn.Module):
    """``features``, which map each image to a vector, followed by a linear layer ``output``.

    There are two ways to start confident, and mostly wrong, before anything is learned: a large
    ``output_scale``, which also multiplies every gradient that reaches the features; and a large
    ``output_bias``, which does not change those. With the latter p_0 is about
    e^bias / (e^bias + K − 1) for every example.

    Args:
        features: From images ``(N, C, H, W)`` to ``(N, D)``; the models of this package build it
            from ``input_shape``, ``(C, H, W)``.
        num_features: D.
        num_classes: K, at least 2.
        output_scale: Factor on the initial weights and biases of ``output``, above 0.
        output_bias: Added to the initial bias of class 0, after that.

    Raises:
        ValueError: An argument out of range, as in every model.
    """

    def __init__(
        self,
        features: nn.Module,
        num_features: int,
        num_classes: int,
        output_scale: float,
        output_bias: float,
    ) -> None:
        super().__init__()
        if not 0.0 < output_scale < float("inf"):
            raise ValueError(f"output_scale={output_scale}; give a finite number above 0")
        if not math.isfinite(output_bias):
            raise ValueError(f"output_bias={output_bias}; give a finite number")
        if num_classes < 2:
            raise ValueError(f"num_classes={num_classes}; give at least 2")
        self.features = features
        self.output = nn.Linear(num_features, num_classes)
        with torch.no_grad():
            self.output.weight.mul_(output_scale)
            self.output.bias.mul_(output_scale)
            self.output.bias[0] += output_bias

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, K)`` of images ``(N, C, H, W)``."""
        logits: Tensor = self.output(self.features(images))
        return logits


def normalization_layer(name: str, channels: int) -> nn.Module:
    """Return a layer that normalises ``(N, C, H, W)``.

    ``batch`` is of Ioffe and Szegedy 2015; ``group``, of Wu and He 2018, has 8 groups of channels,
    or fewer where 8 does not divide C; ``layer`` is one group.

    >>> normalization_layer("group", 16).num_groups
    8
    """
    match name:
        case "none":
            return nn.Identity()
        case "batch":
            return nn.BatchNorm2d(channels)
        case "group":
            return nn.GroupNorm(max(n for n in range(1, GROUPS + 1) if channels % n == 0), channels)
        case "layer":
            return nn.GroupNorm(1, channels)
    raise ValueError(f"normalization={name!r}; give one of none, batch, group, layer")


def check_sizes(input_shape: Shape, *, smallest: int, model: str, width: int = 1) -> None:
    """Raise a ``ValueError`` for a width below 1, or images that ``model`` cannot take."""
    if width < 1:
        raise ValueError(f"width={width}; give a number of channels or units ≥ 1")
    shape: tuple[int, ...] = tuple(input_shape)
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"input_shape={shape}; give (channels, height, width), each ≥ 1")
    _, height, columns = input_shape
    if min(height, columns) < smallest:
        raise ValueError(
            f"{model} needs images of at least {smallest}x{smallest}, these are "
            f"{height}x{columns}; use model=mlp or model=linear, or larger images"
        )
