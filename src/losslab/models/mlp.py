"""A multi-layer perceptron on the pixels."""

from torch import Tensor, nn

from losslab.models.checks import check_width
from losslab.models.output import output_layer


class MLP(nn.Module):
    """``depth`` hidden layers of ``width`` units with ReLU, then a linear layer.

    Batch normalisation is not offered: it fails on a last batch of one example.

    Args:
        input_shape: ``(C, H, W)``.
        num_classes: K.
        width: Units of each hidden layer, from 1 up.
        depth: Hidden layers, from 1 up.
        normalization: ``none`` or ``layer``, before each ReLU.
        output_scale: Factor on the initial output layer, above 0.
        output_bias: Added to the initial bias of class 0.

    Raises:
        ValueError: An argument out of range.

    >>> import torch
    >>> MLP((1, 8, 8), 3, width=16)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        width: int = 256,
        depth: int = 2,
        normalization: str = "none",
        output_scale: float = 1.0,
        output_bias: float = 0.0,
    ) -> None:
        super().__init__()
        check_width(width)
        if depth < 1:
            raise ValueError(f"depth={depth}; give 1 or more hidden layers, or use model=linear")
        if normalization not in ("none", "layer"):
            raise ValueError(f"normalization={normalization!r}; give one of none, layer")
        channels, height, columns = input_shape
        layers: list[nn.Module] = [nn.Flatten()]
        features = channels * height * columns
        for _ in range(depth):
            layers.append(nn.Linear(features, width))
            if normalization == "layer":
                layers.append(nn.LayerNorm(width))
            layers.append(nn.ReLU())
            features = width
        self.features = nn.Sequential(*layers)
        self.output = output_layer(features, num_classes, scale=output_scale, bias=output_bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, K)`` of images ``(N, C, H, W)``."""
        logits: Tensor = self.output(self.features(images))
        return logits
