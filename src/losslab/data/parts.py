"""The three parts of an experiment's data."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from losslab.data.augment import Augmentation

_MOST_LISTED = 100


def shift_and_scale(mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return s and f, ``(1, C, 1, 1)``; pixels from 0 to 255 are normalised as (pixel − s) f."""
    channel = torch.tensor([mean, std], dtype=torch.float64).reshape(2, 1, -1, 1, 1)
    return (255 * channel[0]).float(), (1 / (255 * channel[1])).float()


@dataclass(frozen=True)
class Part:
    """Some labelled images."""

    images: Tensor  # ``(N, C, H, W)`` uint8
    labels: Tensor  # ``(N,)`` int64
    clean_labels: Tensor  # ``(N,)`` int64, before label noise


@dataclass(frozen=True, repr=False)
class Dataset:
    """The three parts of a data set, and how to normalise them."""

    name: str
    train: Part  # the only part with label noise
    val: Part  # split from the official training part, for choosing settings
    test: Part  # the official test part, for final results
    num_classes: int  # K
    class_names: tuple[str, ...]  # K names
    input_shape: tuple[int, int, int]  # ``(C, H, W)``
    mean: tuple[float, ...]  # of each channel of the training part, full brightness being 1
    std: tuple[float, ...]  # likewise; 1 for a constant channel
    augmentation: Augmentation | None = None  # for the training batches
    notes: tuple[str, ...] = ()  # remarks for the user on how it was read, one line each

    def __repr__(self) -> str:
        return "\n".join(self.describe())

    def tensors(self, part: Literal["train", "val", "test"]) -> tuple[Tensor, Tensor]:
        """Return the normalised images and the labels of a part, without augmentation.

        Args:
            part: Which one.

        Returns:
            Images ``(N, C, H, W)`` float32, ``(pixel / 255 - mean) / std`` in each channel, and
            labels ``(N,)`` int64.

        Raises:
            ValueError: There is no such part.

        >>> from losslab.data import load
        >>> images, labels = load("synthetic").tensors("train")
        >>> images.shape, round(abs(images.mean().item()), 3), round(images.std().item(), 3)
        (torch.Size([384, 1, 16, 16]), 0.0, 1.0)
        """
        if part not in ("train", "val", "test"):
            raise ValueError(f"part={part!r}; give train, val or test")
        examples: Part = getattr(self, part)
        shift, scale = shift_and_scale(self.mean, self.std)
        return examples.images.float().sub_(shift).mul_(scale), examples.labels

    def describe(self) -> list[str]:
        r"""Describe in a few lines what was read: images by part and class, and the notes.

        >>> from losslab.data import build, synthetic
        >>> print(*build(synthetic(num_train=80), val_size=0.1).describe(), sep="\n")
        synthetic: images of 1x16x16, 4 classes
        train: 72 images (pattern 0: 18, pattern 1: 18, pattern 2: 18, pattern 3: 18)
        val: 8 images (pattern 0: 2, pattern 1: 2, pattern 2: 2, pattern 3: 2)
        test: 256 images (pattern 0: 64, pattern 1: 64, pattern 2: 64, pattern 3: 64)
        """
        size = "x".join(map(str, self.input_shape))
        lines = [f"{self.name}: images of {size}, {self.num_classes} classes"]
        for name in ("train", "val", "test"):
            labels: Tensor = getattr(self, name).clean_labels
            counts = labels.bincount(minlength=self.num_classes).tolist()
            classes = [f"{c}: {n}" for c, n in zip(self.class_names, counts, strict=True)]
            if len(classes) > _MOST_LISTED:
                classes = [f"{min(counts)} to {max(counts)} per class"]
            lines.append(f"{name}: {len(labels)} images ({', '.join(classes)})")
        return [*lines, *self.notes]

    def sha256(self) -> str:
        """Return a checksum of everything that a run depends on."""
        digest = hashlib.sha256()
        properties = [self.num_classes, self.class_names, self.input_shape, self.mean, self.std]
        digest.update(repr(properties).encode(errors="surrogateescape"))
        for part in (self.train, self.val, self.test):
            for values in (part.images, part.labels, part.clean_labels):
                digest.update(repr((tuple(values.shape), values.dtype)).encode())
                digest.update(values.contiguous().cpu().numpy().data)
        return digest.hexdigest()
