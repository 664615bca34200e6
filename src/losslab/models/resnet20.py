"""The 20-layer residual network for small images."""

from torch import Tensor, nn
from torch.nn.functional import pad, relu

from losslab.models.base import (
    Classifier,
    Shape,
    check_image_size,
    check_width,
    normalization_layer,
)


class ResidualBlock(nn.Module):
    """``relu(x + f(x))`` with f two 3x3 convolutions, ``(N, C, H, W)`` to ``(N, C', H', W')``.

    Where the block changes the shape, the shortcut takes every second pixel and fills the new
    channels with zeros: option A of the paper, which adds no weights.
    """

    def __init__(self, channels: int, out_channels: int, *, stride: int, normalization: str):
        super().__init__()
        self.stride = stride
        self.new_channels = out_channels - channels
        self.residual = nn.Sequential(
            nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1, bias=False),
            normalization_layer(normalization, out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            normalization_layer(normalization, out_channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return the block's features."""
        shortcut = features[:, :, :: self.stride, :: self.stride]
        if self.new_channels > 0:
            shortcut = pad(shortcut, (0, 0, 0, 0, 0, self.new_channels))
        return relu(shortcut + self.residual(features))


class ResNet20(Classifier):
    """A convolution, three stages of three residual blocks, global average pooling, linear.

    The stages have ``width``, ``2 width`` and ``4 width`` channels and halve the image between
    them. Convolutions start from He's initialisation (normal, fan-out). With the paper's width of
    16 and 10 classes there are 269,722 parameters.

    Args:
        input_shape: ``(C, H, W)``, at least 8x8 pixels.
        num_classes: K.
        width: Channels of the first stage, from 1 up.
        normalization: ``batch`` (the paper's), ``group`` or ``layer``; without one the residual
            sums grow with depth, so ``none`` is refused.
        output_scale, output_bias: Of the last layer, as :class:`Classifier`.

    Source: He, Zhang, Ren, Sun 2016, https://arxiv.org/abs/1512.03385, section 4.2.

    >>> import torch
    >>> ResNet20((3, 32, 32), 10, width=4)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        input_shape: Shape,
        num_classes: int,
        *,
        width: int = 16,
        normalization: str = "batch",
        output_scale: float = 1.0,
        output_bias: float = 0.0,
    ) -> None:
        check_width(width)
        check_image_size(input_shape, smallest=8, model="resnet20")
        if normalization not in ("batch", "group", "layer"):
            raise ValueError(
                f"normalization={normalization!r}; resnet20 takes one of batch, group, layer"
            )
        layers: list[nn.Module] = [
            nn.Conv2d(input_shape[0], width, 3, padding=1, bias=False),
            normalization_layer(normalization, width),
            nn.ReLU(),
        ]
        channels = width
        for out_channels in (width, 2 * width, 4 * width):
            for _ in range(3):
                stride = 1 if out_channels == channels else 2
                layers.append(
                    ResidualBlock(
                        channels, out_channels, stride=stride, normalization=normalization
                    )
                )
                channels = out_channels
        features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for module in features.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(features, channels, num_classes, output_scale, output_bias)
