"""Flips and shifts, drawn for each example apart and applied on the device."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad


class Draw(NamedTuple):
    """What happens to each example.

    Attributes:
        flipped: ``(N,)`` bool, mirrored left to right before the shift.
        top: ``(N,)`` int64, first row of the crop in the padded picture, 0 .. 2 padding.
        left: ``(N,)`` int64, first column of the crop, 0 .. 2 padding.
    """

    flipped: Tensor
    top: Tensor
    left: Tensor

    def to(self, device: torch.device | str) -> "Draw":
        """Return the same draw on ``device``."""
        return Draw(*(part.to(device) for part in self))

    def select(self, examples: slice) -> "Draw":
        """Return the draw of some of the examples."""
        return Draw(*(part[examples] for part in self))


@dataclass(frozen=True)
class Augmentation:
    """Random mirror and random shift, as is usual for the CIFARs.

    The picture is mirrored with probability one half (``flip``), surrounded by ``padding`` black
    pixels and cropped to its old size at a uniformly drawn place.

    Args:
        flip: Whether to mirror.
        padding: Pixels on each side, from 0 up; the largest shift.

    Raises:
        ValueError: ``padding`` below zero.

    >>> images = torch.arange(18, dtype=torch.uint8).reshape(2, 1, 3, 3)
    >>> augmentation = Augmentation(flip=True, padding=1)
    >>> draw = Draw(torch.tensor([True, False]), torch.tensor([1, 0]), torch.tensor([1, 1]))
    >>> augmentation.apply(images, draw).squeeze(1).tolist()
    [[[2, 1, 0], [5, 4, 3], [8, 7, 6]], [[0, 0, 0], [9, 10, 11], [12, 13, 14]]]
    """

    flip: bool = True
    padding: int = 4

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ValueError(f"padding={self.padding}; give a number of pixels from 0 up")

    def draw(self, num_examples: int, generator: torch.Generator) -> Draw:
        """Draw for ``num_examples`` examples at once, on the generator's device."""
        device = generator.device
        coin = torch.randint(0, 2, (num_examples,), generator=generator, device=device)
        shift = torch.randint(
            0, 2 * self.padding + 1, (2, num_examples), generator=generator, device=device
        )
        return Draw((coin == 1) if self.flip else torch.zeros_like(coin).bool(), *shift)

    def apply(self, images: Tensor, draw: Draw) -> Tensor:
        """Return the changed pictures.

        Args:
            images: ``(N, C, H, W)`` of any dtype and memory format.
            draw: For these N, on the same device.

        Returns:
            ``(N, C, H, W)`` of the same dtype, in ``channels_last`` memory format.
        """
        num_examples, _, height, width = images.shape
        padded = pad(images, (self.padding,) * 4).permute(0, 2, 3, 1)
        example = torch.arange(num_examples, device=images.device)[:, None, None]
        row = draw.top[:, None] + torch.arange(height, device=images.device)
        column = draw.left[:, None] + torch.arange(width, device=images.device)
        # Mirroring the padded picture moves column c to W + 2 padding - 1 - c.
        mirrored = width + 2 * self.padding - 1 - column
        column = torch.where(draw.flipped[:, None], mirrored, column)
        return padded[example, row[:, :, None], column[:, None, :]].permute(0, 3, 1, 2)
