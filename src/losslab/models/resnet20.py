"""The 20-layer residual network for small pictures."""

from torch import Tensor, nn
from torch.nn.functional import pad, relu

from losslab.models.checks import check_image_size, check_width
from losslab.models.normalization import normalization_layer
from losslab.models.output import output_layer


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


class ResNet20(nn.Module):
    """A convolution, three stages of three residual blocks, global average pooling, linear.

    The stages have ``width``, ``2 width`` and ``4 width`` channels and halve the picture between
    them. Convolutions start from He's initialisation (normal, fan-out). With the paper's width of
    16 and 10 classes there are 269,722 parameters.

    Args:
        input_shape: ``(C, H, W)``, at least 8x8 pixels.
        num_classes: K.
        width: Channels of the first stage, from 1 up.
        normalization: ``batch`` (the paper's), ``group`` or ``layer``; without one the residual
            sums grow with depth, so ``none`` is refused.
        output_scale: Factor on the initial output layer, above 0.
        output_bias: Added to the initial bias of class 0.

    Raises:
        ValueError: An argument out of range.

    Source: He, Zhang, Ren, Sun 2016, https://arxiv.org/abs/1512.03385, section 4.2.

    >>> import torch
    >>> ResNet20((3, 32, 32), 10, width=4)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        width: int = 16,
        normalization: str = "batch",
        output_scale: float = 1.0,
        output_bias: float = 0.0,
    ) -> None:
        super().__init__()
        check_width(width)
        check_image_size(input_shape, smallest=8, model="resnet20")
        if normalization not in ("batch", "group", "layer"):
            raise ValueError(
                f"normalization={normalization!r}; resnet20 takes one of batch, group, layer"
            )
        blocks: list[nn.Module] = []
        channels = width
        for stage in range(3):
            for block in range(3):
                stride = 2 if stage > 0 and block == 0 else 1
                out_channels = width * 2**stage
                blocks.append(
                    ResidualBlock(
                        channels, out_channels, stride=stride, normalization=normalization
                    )
                )
                channels = out_channels
        self.features = nn.Sequential(
            nn.Conv2d(input_shape[0], width, 3, padding=1, bias=False),
            normalization_layer(normalization, width),
            nn.ReLU(),
            *blocks,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        for module in self.features.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.output = output_layer(channels, num_classes, scale=output_scale, bias=output_bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, K)`` of images ``(N, C, H, W)``."""
        logits: Tensor = self.output(self.features(images))
        return logits
