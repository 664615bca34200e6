"""Random flips and shifts, drawn for each example and applied on the device."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class Augmentation:
    """Random horizontal flip and random crop after padding, the usual choice for CIFAR.

    Args:
        flip: Whether to mirror images with probability one half.
        padding: Pixels added on each side before cropping to the old size, ≥ 0.
        padding_mode: ``constant``, black pixels; or ``reflect``.
        alternate: Mirror a random half of the images in the first epoch, the other half in the
            second, and so on in turn (Jordan 2024, https://arxiv.org/abs/2404.00498).

    Raises:
        ValueError: An argument out of range.

    >>> images = torch.arange(18, dtype=torch.uint8).reshape(2, 1, 3, 3)
    >>> draw = torch.tensor([[1, 0], [1, 0], [1, 1]])  # flipped, top, left
    >>> Augmentation(flip=True, padding=1).apply(images, draw).squeeze(1).tolist()
    [[[2, 1, 0], [5, 4, 3], [8, 7, 6]], [[0, 0, 0], [9, 10, 11], [12, 13, 14]]]
    """

    flip: bool = True
    padding: int = 4
    padding_mode: str = "constant"
    alternate: bool = False

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ValueError(f"padding={self.padding}; give a number of pixels ≥ 0")
        if self.padding_mode not in ("constant", "reflect"):
            raise ValueError(f"padding_mode={self.padding_mode!r}; give one of constant, reflect")
        if self.alternate and not self.flip:
            raise ValueError("alternate=true needs mirroring; add flip=true")

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
        """Mirror and crop images ``(N, C, H, W)`` as drawn; the result is ``channels_last``."""
        num_examples, _, height, width = images.shape
        flipped, top, left = draw.unsqueeze(-1)
        example = torch.arange(num_examples, device=images.device)[:, None, None]
        row = top + torch.arange(height, device=images.device)
        column = left + torch.arange(width, device=images.device)
        # Mirroring the padded image moves column c to W + 2 padding - 1 - c.
        mirrored = width + 2 * self.padding - 1 - column
        column = torch.where(flipped == 1, mirrored, column)
        if self.padding_mode == "reflect":  # torch's does not support uint8
            row, column = self._reflected(row, height), self._reflected(column, width)
        else:
            images = pad(images, (self.padding,) * 4)
        pixels = images.permute(0, 2, 3, 1)
        return pixels[example, row[:, :, None], column[:, None, :]].permute(0, 3, 1, 2)

    def _reflected(self, position: Tensor, size: int) -> Tensor:
        """Map positions in a padded row or column to those of its ``size`` pixels."""
        if self.padding >= size:
            raise ValueError(
                f"padding={self.padding} with padding_mode=reflect needs images of more than "
                f"{self.padding} pixels; give less padding, or padding_mode=constant"
            )
        last = size - 1
        return last - (last - (position - self.padding).abs()).abs()
