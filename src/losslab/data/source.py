"""A data set before it is split: two labelled parts of raw images."""

from dataclasses import dataclass

import torch
from torch import Tensor

EXAMPLE = (
    "losslab.data.Source('mine', train_images, train_labels, test_images, test_labels, "
    "num_classes=2, class_names=('a', 'b')) with images of torch.uint8, (N, C, H, W), and labels "
    "of torch.int64, (N,)"
)
"""What a custom source should return, for error messages."""


@dataclass(frozen=True)
class Source:
    """The official training and test parts of a data set.

    Raises:
        ValueError: A wrong shape or dtype, an empty part, or labels outside ``[0, num_classes)``.

    >>> images, labels = torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 0, 1])
    >>> Source("blank", images, labels, images, labels, 2, ("even", "odd")).num_classes
    2
    """

    name: str  # shown in messages
    train_images: Tensor  # ``(N, C, H, W)`` uint8
    train_labels: Tensor  # ``(N,)`` int64 in ``[0, num_classes)``
    test_images: Tensor  # ``(M, C, H, W)`` uint8, of the same ``C, H, W``
    test_labels: Tensor  # ``(M,)`` int64 in ``[0, num_classes)``
    num_classes: int  # K, at least 2
    class_names: tuple[str, ...]  # K names, in the order of the labels
    notes: tuple[str, ...] = ()  # remarks for the user on how it was read, one line each

    def __post_init__(self) -> None:
        for part, images, labels in (
            ("train", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            if problem := _problem(images, labels, self.num_classes):
                raise ValueError(f"{self.name}, {part} part: {problem}")
        train, test = tuple(self.train_images.shape[1:]), tuple(self.test_images.shape[1:])
        if train != test:
            raise ValueError(
                f"{self.name}: training images are {train}, test images {test}; both parts need "
                "one (C, H, W)"
            )
        if self.num_classes < 2:
            raise ValueError(f"{self.name}: num_classes={self.num_classes}; give 2 or more classes")
        if len(self.class_names) != self.num_classes:
            raise ValueError(
                f"{self.name}: {len(self.class_names)} class names for "
                f"num_classes={self.num_classes}; give one name for each class"
            )


def _problem(images: Tensor, labels: Tensor, num_classes: int) -> str | None:
    """Return what is wrong with a part, if anything."""
    if not all(isinstance(values, Tensor) for values in (images, labels)):
        kinds = f"{type(images).__name__} and {type(labels).__name__}"
        return f"images and labels are {kinds}; give torch tensors, e.g. by torch.from_numpy"
    if images.dtype != torch.uint8 or images.ndim != 4:
        shape = tuple(images.shape)
        return f"images are {images.dtype} of shape {shape}; give uint8 of shape (N, C, H, W)"
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        return (
            f"labels are {labels.dtype} of shape {tuple(labels.shape)}; give int64 of shape "
            f"({len(images)},), one for each image"
        )
    if len(images) == 0:
        return "holds no images; give at least one"
    smallest, largest = int(labels.min()), int(labels.max())
    if smallest < 0 or largest >= num_classes:
        return (
            f"labels lie in {smallest} to {largest}, outside [0, num_classes={num_classes}); "
            "correct the labels or num_classes"
        )
    return None
