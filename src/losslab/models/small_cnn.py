"""The default: two convolutions and one linear layer."""

from torch import Tensor, nn

from losslab.models.checks import check_image_size, check_width
from losslab.models.normalization import normalization_layer
from losslab.models.output import output_layer


class SmallCNN(nn.Module):
    """conv 5x5, pool, ReLU, conv 3x3, pool, ReLU, linear; without padding.

    A picture of 28x28 becomes 24, 12, 10, 5 pixels wide. Pooling comes before ReLU: the maximum
    and a monotone function may change places, and so ReLU has a quarter of the work.

    Args:
        input_shape: ``(C, H, W)``, at least 12x12 pixels.
        num_classes: K.
        width: Channels of the first convolution; the second has twice as many.
        normalization: ``none``, ``batch``, ``group`` or ``layer``, after each convolution.
        output_scale: Factor on the initial output layer, above 0.
        output_bias: Added to the initial bias of class 0.

    Raises:
        ValueError: An argument out of range.

    >>> import torch
    >>> model = SmallCNN((1, 28, 28), 10)
    >>> model(torch.zeros(2, 1, 28, 28)).shape, sum(p.numel() for p in model.parameters())
    (torch.Size([2, 10]), 13066)
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        width: int = 16,
        normalization: str = "none",
        output_scale: float = 1.0,
        output_bias: float = 0.0,
    ) -> None:
        super().__init__()
        check_width(width)
        check_image_size(input_shape, smallest=12, model="small_cnn")
        channels, height, columns = input_shape
        self.features = nn.Sequential(
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
        self.output = output_layer(
            2 * width * pixels, num_classes, scale=output_scale, bias=output_bias
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, K)`` of images ``(N, C, H, W)``."""
        logits: Tensor = self.output(self.features(images))
        return logits
