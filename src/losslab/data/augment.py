"""Flips and shifts, drawn for each example apart and applied on the device."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class Augmentation:
    """Random mirror and random shift, as is usual for the CIFARs.

    The image is mirrored with probability one half (``flip``), surrounded by ``padding`` black
    pixels and cropped to its old size at a uniformly drawn place.

    Args:
        flip: Whether to mirror.
        padding: Pixels on each side, from 0 up (else ``ValueError``); the largest shift.

    >>> images = torch.arange(18, dtype=torch.uint8).reshape(2, 1, 3, 3)
    >>> draw = torch.tensor([[1, 0], [1, 0], [1, 1]])  # flipped, top, left
    >>> Augmentation(flip=True, padding=1).apply(images, draw).squeeze(1).tolist()
    [[[2, 1, 0], [5, 4, 3], [8, 7, 6]], [[0, 0, 0], [9, 10, 11], [12, 13, 14]]]
    """

    flip: bool = True
    padding: int = 4

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ValueError(f"padding={self.padding}; give a number of pixels from 0 up")

    def draw(self, num_examples: int, generator: torch.Generator) -> Tensor:
        """Draw for ``num_examples`` examples at once, on the generator's device.

        Returns:
            ``(3, N)`` int64: 1 where an example is mirrored left to right, before the shift; first
            row and first column of the crop in the padded image, 0 .. 2 padding.
        """
        device = generator.device
        coin = torch.randint(0, 2, (num_examples,), generator=generator, device=device)
        shift = torch.randint(
            0, 2 * self.padding + 1, (2, num_examples), generator=generator, device=device
        )
        return torch.stack([coin if self.flip else torch.zeros_like(coin), *shift])

    def apply(self, images: Tensor, draw: Tensor) -> Tensor:
        """Change ``(N, C, H, W)`` images as :meth:`draw` says; the result is ``channels_last``."""
        num_examples, _, height, width = images.shape
        flipped, top, left = draw.unsqueeze(-1)
        padded = pad(images, (self.padding,) * 4).permute(0, 2, 3, 1)
        example = torch.arange(num_examples, device=images.device)[:, None, None]
        row = top + torch.arange(height, device=images.device)
        column = left + torch.arange(width, device=images.device)
        # Mirroring the padded image moves column c to W + 2 padding - 1 - c.
        mirrored = width + 2 * self.padding - 1 - column
        column = torch.where(flipped == 1, mirrored, column)
        return padded[example, row[:, :, None], column[:, None, :]].permute(0, 3, 1, 2)
