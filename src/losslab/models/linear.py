"""Softmax regression: one linear layer on the pixels."""

from torch import Tensor, nn

from losslab.models.output import output_layer


class Linear(nn.Module):
    """``W x + b`` on the flattened picture.

    With cross-entropy this is multinomial logistic regression, convex in its weights.

    Args:
        input_shape: ``(C, H, W)``.
        num_classes: K.
        output_scale: Factor on the initial weights and bias, above 0.
        output_bias: Added to the initial bias of class 0.

    Raises:
        ValueError: An argument out of range.

    >>> import torch
    >>> Linear((1, 8, 8), 3)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        output_scale: float = 1.0,
        output_bias: float = 0.0,
    ) -> None:
        super().__init__()
        channels, height, width = input_shape
        self.output = output_layer(
            channels * height * width, num_classes, scale=output_scale, bias=output_bias
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(N, K)`` of images ``(N, C, H, W)``."""
        logits: Tensor = self.output(images.flatten(1))
        return logits
