"""A network that learns CIFAR-10 in seconds; its first layer whitens the image patches."""

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d

from losslab.models.base import Classifier, Shape, check_sizes

_PATCH = 2
_IMAGES = 2000
"""From which the covariance of patches is estimated: two million patches of CIFAR-10."""
_STEPS = 256
"""Per unit of brightness, to which pixels are rounded for the covariance."""
_LEAST_VARIANCE = 5e-4
_MOMENTUM = 0.4


class WhitenedCNN(Classifier):
    """A whitening convolution 2x2, three pairs of 3x3 convolutions with pooling, linear.

    Each pair is conv, pool, batch norm, GELU, conv, batch norm, GELU. The largest value of each
    channel is a feature. Four things make it fast:

    - The first convolution's weights are not trained: :meth:`initialize_from` takes them from the
      training images, so that its outputs are uncorrelated and of equal variance.
    - A 3x3 convolution starts as the identity in its first channels, as far as it has inputs.
    - Batch norm has no scales, and its biases learn ``bias_rate`` times as fast as the weights.
    - ``feature_scale`` times the features, ``(N, 4 width)``, goes into the last layer.

    Images have at least 9x9 pixels; ``width``, the channels of the first pair, is ≥ 1, the
    other two pairs have four times as many. ``flip_average`` averages the logits of an image and
    its mirror image, in evaluation alone. The other arguments are those of :class:`Classifier`.

    Source: after airbench94, Jordan 2024, https://arxiv.org/abs/2404.00498; whitening of Page
    2018 and tysam-code's hlb-CIFAR10.

    >>> import torch
    >>> model = WhitenedCNN((3, 32, 32), 10, width=4)
    >>> model.initialize_from(torch.randn(50, 3, 32, 32))
    >>> model(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        input_shape: Shape,
        num_classes: int,
        *,
        width: int = 64,
        bias_rate: float = 64.0,
        feature_scale: float = 0.11,
        flip_average: bool = False,
        output_scale: float = 1.0,
        output_bias: float = 0.0,
    ) -> None:
        check_sizes(input_shape, smallest=9, width=width, model="whitened_cnn")
        for name, value in {"bias_rate": bias_rate, "feature_scale": feature_scale}.items():
            if not 0.0 < value < float("inf"):
                raise ValueError(f"{name}={value}; give a finite number above 0")
        whitening = Whitening(input_shape[0])
        layers: list[nn.Module] = [whitening, nn.GELU()]
        channels = whitening.channels
        for out_channels in (width, 4 * width, 4 * width):
            layers += [
                _convolution(channels, out_channels),
                nn.MaxPool2d(2),
                UnscaledBatchNorm(out_channels, bias_rate),
                nn.GELU(),
                _convolution(out_channels, out_channels),
                UnscaledBatchNorm(out_channels, bias_rate),
                nn.GELU(),
            ]
            channels = out_channels
        features = ScaledMaximum(nn.Sequential(*layers), feature_scale, flip_average)
        super().__init__(features, channels, num_classes, output_scale, output_bias)

    def initialize_from(self, images: Tensor) -> None:
        """Set the whitening weights from normalised training images ``(N, C, H, W)``.

        The first 2,000 are used. Without this call, the weights are those for white noise:
        the pixels of a patch and their negatives.
        """
        (whitening,) = (part for part in self.modules() if isinstance(part, Whitening))
        whitening.initialize_from(images)


class Whitening(nn.Module):
    """Decorrelates patches of 2x2 pixels, ``(N, C, H, W)`` to ``(N, 8 C, H − 1, W − 1)``.

    The weights are the eigenvectors v of the patches' covariance, each divided by √(λ + 5e-4) with
    λ its eigenvalue, and then their negatives, so that an activation keeps both signs. They are a
    buffer; the bias is trained.
    """

    weight: Tensor

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        size = in_channels * _PATCH**2
        self.channels = 2 * size
        self._shape = (-1, in_channels, _PATCH, _PATCH)
        self.register_buffer("weight", self._signed(torch.eye(size)))
        self.bias = nn.Parameter(torch.zeros(self.channels))

    def initialize_from(self, images: Tensor) -> None:
        """Set the weights, which do not depend on the number of threads."""
        size = self.channels // 2
        total, squares, count = torch.zeros(size).double(), torch.zeros(size, size).double(), 0
        # Sums of whole numbers below 2**53 are exact in whatever order they are taken.
        for chunk in torch.split((images[:_IMAGES].double() * _STEPS).round(), 100):
            patches = chunk.unfold(2, _PATCH, 1).unfold(3, _PATCH, 1)
            patches = patches.permute(1, 4, 5, 0, 2, 3).reshape(size, -1)
            total += patches.sum(dim=1)
            squares += patches @ patches.T
            count += patches.shape[1]
        mean = total / count
        covariance = (squares / count - torch.outer(mean, mean)) / _STEPS**2
        variances, vectors = torch.linalg.eigh(covariance)
        # The sign of an eigenvector is arbitrary; fix it.
        largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
        vectors = vectors * largest.sign()
        weights = (vectors / (variances.clamp(min=0) + _LEAST_VARIANCE).sqrt()).T
        self.weight.copy_(self._signed(weights))

    def _signed(self, weights: Tensor) -> Tensor:
        return torch.cat([weights, -weights]).reshape(self._shape).float()

    def forward(self, images: Tensor) -> Tensor:
        """Return the decorrelated patches."""
        return conv2d(images, self.weight, self.bias)


class UnscaledBatchNorm(nn.Module):
    """Batch normalisation with a bias and no scale, ``(N, C, H, W)`` to the same.

    The bias is √r times a parameter: a step of SGD, which is proportional to the gradient, then
    moves it r times as far, while weight decay shrinks it as it does everything else. So r, the
    ``bias_rate``, needs no parameter group of its own, which stacked runs could not have.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, bias_rate: float) -> None:
        super().__init__()
        # For evaluation, from the last few batches, since training is short.
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.factor = bias_rate**0.5

    def forward(self, features: Tensor) -> Tensor:
        """Return the normalised features."""
        running = self.running_mean, self.running_var
        scale, bias = torch.ones_like(self.bias), self.factor * self.bias
        return batch_norm(features, *running, scale, bias, self.training, _MOMENTUM)


class ScaledMaximum(nn.Module):
    """The largest value in each channel of ``body``, times ``scale``: to ``(N, D)``.

    With ``flip_average``, the mean over the image and its mirror image in evaluation. Since the
    last layer is linear, this averages the logits.
    """

    def __init__(self, body: nn.Module, scale: float, flip_average: bool) -> None:
        super().__init__()
        self.body, self.scale, self.flip_average = body, scale, flip_average

    def forward(self, images: Tensor) -> Tensor:
        """Return the features."""
        if self.training or not self.flip_average:
            return self._once(images)
        return (self._once(images) + self._once(images.flip(-1))) / 2

    def _once(self, images: Tensor) -> Tensor:
        largest: Tensor = self.body(images).amax(dim=(2, 3))
        return self.scale * largest


def _convolution(channels: int, out_channels: int) -> nn.Module:
    convolution = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
    nn.init.dirac_(convolution.weight.data[: min(channels, out_channels)])
    return convolution
