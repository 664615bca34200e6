"""Generated images that can be learned, for tests and first tries."""

from collections.abc import Sequence

import torch
from torch import Tensor

from losslab.data.source import Source
from losslab.seeding import generator

BLOBS_PER_CLASS = 3


def synthetic(
    *,
    num_train: int = 512,
    num_test: int = 256,
    num_classes: int = 4,
    image_shape: Sequence[int] = (1, 16, 16),
    noise: float = 0.2,
    seed: int = 0,
) -> Source:
    """Generate images of Gaussian blobs: a pattern for each class, plus noise for each image.

    Pixel values are ``255 (pattern[class] + noise * normal)``, clipped to 0 .. 255. The pattern of
    a class is a sum of three Gaussian bumps at random positions in each channel, scaled to a
    maximum of one. Classes have equal sizes, as far as the counts allow.

    Args:
        num_train: Training images, at least one per class.
        num_test: Test images, at least one.
        num_classes: K, at least 2.
        image_shape: ``(C, H, W)``.
        noise: Standard deviation of the noise, in units of the pattern's height; ≥ 0.
        seed: The seed of the patterns and of the noise.

    Raises:
        ValueError: A number out of its range.

    >>> source = synthetic(num_train=8, num_test=4, num_classes=2)
    >>> source.train_images.shape, source.train_labels.tolist()
    (torch.Size([8, 1, 16, 16]), [0, 1, 0, 1, 0, 1, 0, 1])
    """
    if num_classes < 2 or num_train < num_classes or num_test < 1:
        raise ValueError(
            f"num_train={num_train}, num_test={num_test}, num_classes={num_classes}: give at "
            "least 2 classes, one training image per class and one test image"
        )
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise ValueError(f"image_shape={image_shape}; give (channels, height, width), each >= 1")
    if not 0.0 <= noise < float("inf"):
        raise ValueError(f"noise={noise}; give a standard deviation ≥ 0")

    channels, height, width = image_shape
    draw = generator(seed, "synthetic", "patterns")
    centres = torch.rand(num_classes, channels, BLOBS_PER_CLASS, 2, generator=draw)
    rows = torch.linspace(0, 1, height)[:, None] - centres[..., 0, None, None]
    columns = torch.linspace(0, 1, width)[None, :] - centres[..., 1, None, None]
    bumps = torch.exp(-(rows.square() + columns.square()) / (2 * 0.15**2)).sum(dim=2)
    patterns = bumps / bumps.amax(dim=(2, 3), keepdim=True)

    def part(purpose: str, count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(count) % num_classes
        normal = torch.randn(count, *image_shape, generator=generator(seed, "synthetic", purpose))
        pixels = 255 * (patterns[labels] + noise * normal)
        return pixels.clamp_(0, 255).to(torch.uint8), labels

    names = tuple(f"pattern {k}" for k in range(num_classes))
    train, test = part("train", num_train), part("test", num_test)
    return Source("synthetic", *train, *test, num_classes, names)
