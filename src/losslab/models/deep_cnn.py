"""Six convolutions in the manner of VGG."""

from torch import Tensor, nn

from losslab.models.checks import check_image_size, check_width
from losslab.models.normalization import normalization_layer
from losslab.models.output import output_layer


class DeepCNN(nn.Module):
    """Three pairs of 3x3 convolutions, each pair followed by pooling; global average; linear.

    The pairs have ``width``, ``2 width`` and ``4 width`` channels. Convolutions start from He's
    initialisation (normal, fan-in), so that the network learns without normalisation, too.

    Args:
        input_shape: ``(C, H, W)``, at least 8x8 pixels.
        num_classes: K.
        width: Channels of the first pair, from 1 up.
        normalization: ``none``, ``batch``, ``group`` or ``layer``, after each convolution.
        output_scale: Factor on the initial output layer, above 0.
        output_bias: Added to the initial bias of class 0.

    Raises:
        ValueError: An argument out of range.

    Source: Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556 (the pairs of 3x3).

    >>> import torch
    >>> DeepCNN((3, 32, 32), 10, width=4)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        width: int = 32,
        normalization: str = "batch",
        output_scale: float = 1.0,
        output_bias: float = 0.0,
    ) -> None:
        super().__init__()
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
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.output = output_layer(channels, num_classes, scale=output_scale, bias=output_bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, K)`` of images ``(N, C, H, W)``."""
        logits: Tensor = self.output(self.features(images))
        return logits
