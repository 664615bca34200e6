"""The convolutional networks: the small default, one in the style of VGG, and ResNet-20."""

from torch import Tensor, nn
from torch.nn.functional import pad, relu

from losslab.models.base import Classifier, Shape, check_sizes, normalization_layer


class SmallCNN(Classifier):
    """conv 5x5, pool, ReLU, conv 3x3, pool, ReLU, linear; without padding. The default.

    An image of 28x28 becomes 24, 12, 10, 5 pixels wide. Pooling comes before ReLU: the maximum
    and a monotone function commute, and ReLU has a quarter of the work.

    Images have at least 12x12 pixels. The first convolution has ``width`` channels, ≥ 1, the
    second twice as many. ``normalization`` (``none``, ``batch``, ``group``, ``layer``) follows each
    convolution. The other arguments are those of :class:`Classifier`.

    >>> import torch
    >>> model = SmallCNN((1, 28, 28), 10)
    >>> model(torch.zeros(2, 1, 28, 28)).shape, sum(p.numel() for p in model.parameters())
    (torch.Size([2, 10]), 13066)
    """

    def __init__(
        self,
        input_shape: Shape,
        num_classes: int,
        *,
        width: int = 16,
        normalization: str = "none",
        output_scale: float = 1.0,
        output_bias: float = 0.0,
    ) -> None:
        check_sizes(input_shape, smallest=12, width=width, model="small_cnn")
        channels, height, columns = input_shape
        features = nn.Sequential(
            nn.Conv2d(channels, width, 5),
            normalization_layer(normalization, width),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3),
            normalization_layer(normalization, 2 * width),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
        )
        pixels = (((height - 4) // 2 - 2) // 2) * (((columns - 4) // 2 - 2) // 2)
        super().__init__(features, 2 * width * pixels, num_classes, output_scale, output_bias)


class DeepCNN(Classifier):
    """Three pairs of 3x3 convolutions, each pair followed by pooling; global average; linear.

    The pairs have ``width``, ``2 width`` and ``4 width`` channels. Convolutions start from He's
    initialisation (normal, fan-in), so that the network also learns without normalisation.

    Images have at least 8x8 pixels; ``width`` is ≥ 1. ``normalization`` (``none``, ``batch``,
    ``group``, ``layer``) follows each convolution. The other arguments are those of
    :class:`Classifier`.

    Source: Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556 (the pairs of 3x3).

    >>> import torch
    >>> DeepCNN((3, 32, 32), 10, width=4)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        input_shape: Shape,
        num_classes: int,
        *,
        width: int = 32,
        normalization: str = "batch",
        output_scale: float = 1.0,
        output_bias: float = 0.0,
    ) -> None:
        check_sizes(input_shape, smallest=8, width=width, model="deep_cnn")
        layers: list[nn.Module] = []
        channels = input_shape[0]
        for out_channels in (width, 2 * width, 4 * width):
            for _ in range(2):
                convolution = nn.Conv2d(channels, out_channels, 3, padding=1)
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                layers += [convolution, normalization_layer(normalization, out_channels), nn.ReLU()]
                channels = out_channels
            layers.append(nn.MaxPool2d(2))
        features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        super().__init__(features, channels, num_classes, output_scale, output_bias)


class ResidualBlock(nn.Module):
    """``relu(x + f(x))`` with f two 3x3 convolutions, ``(N, C, H, W)`` to ``(N, C', H', W')``.

    Where the block changes the shape, the shortcut takes every second pixel and fills the new
    channels with zeros: option A of the paper, which adds no weights.
    """

    def __init__(self, channels: int, out_channels: int, normalization: str) -> None:
        super().__init__()
        self.stride = stride = 1 if out_channels == channels else 2
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

    Images have at least 8x8 pixels; ``width`` is ≥ 1. ``normalization`` is ``batch`` (the
    paper's), ``group`` or ``layer``; without one the residual sums grow with depth, so ``none`` is
    refused. The other arguments are those of :class:`Classifier`.

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
        check_sizes(input_shape, smallest=8, width=width, model="resnet20")
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
        for out_channels in [stage * width for stage in (1, 2, 4) for _ in range(3)]:
            layers.append(ResidualBlock(channels, out_channels, normalization))
            channels = out_channels
        features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for module in features.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(features, channels, num_classes, output_scale, output_bias)
