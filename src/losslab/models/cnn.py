"""The convolutional networks: the small default, and a deeper one in the manner of VGG."""

from torch import nn

from losslab.models.base import (
    Classifier,
    Shape,
    check_image_size,
    check_width,
    normalization_layer,
)


class SmallCNN(Classifier):
    """conv 5x5, pool, ReLU, conv 3x3, pool, ReLU, linear; without padding. The default.

    An image of 28x28 becomes 24, 12, 10, 5 pixels wide. Pooling comes before ReLU: the maximum
    and a monotone function may change places, and so ReLU has a quarter of the work.

    Args:
        input_shape: ``(C, H, W)``, at least 12x12 pixels.
        num_classes: K.
        width: Channels of the first convolution; the second has twice as many.
        normalization: ``none``, ``batch``, ``group`` or ``layer``, after each convolution.
        output_scale, output_bias: Of the last layer, as :class:`Classifier`.

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
        check_width(width)
        check_image_size(input_shape, smallest=12, model="small_cnn")
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
    initialisation (normal, fan-in), so that the network learns without normalisation, too.

    Args:
        input_shape: ``(C, H, W)``, at least 8x8 pixels.
        num_classes: K.
        width: Channels of the first pair, from 1 up.
        normalization: ``none``, ``batch``, ``group`` or ``layer``, after each convolution.
        output_scale, output_bias: Of the last layer, as :class:`Classifier`.

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
        check_width(width)
        check_image_size(input_shape, smallest=8, model="deep_cnn")
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
