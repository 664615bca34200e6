"""Place D images side by side: K classes become K^D."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import torch
from torch import Tensor

from losslab.data.splits import resolve_size
from losslab.seeding import generator

LEAST_PER_CLASS = {"train": 20, "validation": 5, "test": 5}
"""A part has at least this many rows of each class."""
MOST_PER_IMAGE = 100
"""Training has at most this many rows for each image."""
MOST_CLASSES = 10_000
"""The rows of more classes would not fit into memory."""
MOST_DIGITS = MOST_CLASSES.bit_length() - 1
"""The limit with two classes."""


def draw_rows(
    labels: Tensor,
    *,
    num_classes: int,
    digits: int,
    size: int,
    stream: Callable[..., torch.Generator],
) -> tuple[Tensor, Tensor]:
    """Choose ``size`` rows of D images so that all sequences of D classes are equally frequent.

    A row of the classes c_1 … c_D has the label Σ_i c_i K^(D − i), the number that its digits
    spell. Labels come in random permutations of all K^D, so every prefix is stratified. The images
    of a class are used in random order, each once before any is repeated. A smaller size gives a
    prefix of a larger one.

    Returns:
        The indices of the images of each row, ``(N, D)`` int64 from left to right, and the labels
        of the rows, ``(N,)`` int64 in ``[0, K^D)``.

    >>> labels = torch.tensor([0, 1, 1, 0])
    >>> two = partial(draw_rows, num_classes=2, digits=2, stream=partial(generator, 0))
    >>> members, composed = two(labels, size=4)
    >>> members.shape, composed.sort().values.tolist()
    (torch.Size([4, 2]), [0, 1, 2, 3])
    >>> torch.equal(labels[members] @ torch.tensor([2, 1]), composed)
    True
    """
    composed = _shuffled(num_classes**digits, size, stream("classes"))
    classes = composed[:, None] // num_classes ** torch.arange(digits - 1, -1, -1) % num_classes
    members = torch.empty_like(classes)
    for label in range(num_classes):
        mask, images = classes == label, (labels == label).nonzero().squeeze(1)
        members[mask] = images[_shuffled(len(images), int(mask.sum()), stream("pictures", label))]
    return members, composed


def _shuffled(total: int, size: int, generator: torch.Generator) -> Tensor:
    """Return the first ``size`` entries of concatenated random permutations of ``total``."""
    permutations = [torch.randperm(total, generator=generator) for _ in range(-(-size // total))]
    return torch.cat([*permutations, torch.empty(0, dtype=torch.int64)])[:size]


def side_by_side(
    images: Tensor,
    labels: Tensor,
    *,
    part: str,
    class_names: Sequence[str],
    digits: int,
    split_seed: int,
    size: int | float | None = None,
) -> tuple[Tensor, Tensor]:
    """Compose ``(N, C, H, D W)`` images and ``(N,)`` labels of a part from its own images.

    By default N is the number of images, but at least :data:`LEAST_PER_CLASS` per class. ``size``
    is a count, or a fraction of that default.
    """
    empty = (torch.bincount(labels, minlength=len(class_names)) == 0).nonzero()
    if len(empty) > 0:
        raise ValueError(
            f"digits={digits} needs images of each class in the {part} part, which has none of "
            f"{class_names[int(empty[0])]!r}; give it more images, or fewer num_classes"
        )
    total = len(class_names) ** digits
    count = max(len(labels), LEAST_PER_CLASS[part] * total)
    if size is not None:
        limit = max(count, MOST_PER_IMAGE * len(labels))
        count = resolve_size(size, count, name="train_size", least=total, most=limit)
    members, composed = draw_rows(
        labels,
        num_classes=len(class_names),
        digits=digits,
        size=count,
        stream=partial(generator, split_seed, "digits", part),
    )
    return torch.cat([images[column] for column in members.unbind(1)], dim=3), composed


def check_digits(digits: int, *, flip: bool) -> None:
    """Check the options before any data is read."""
    if type(digits) is not int or not 1 <= digits <= MOST_DIGITS:
        raise ValueError(
            f"digits={digits}; give a whole number of images side by side, from 1 to {MOST_DIGITS}"
        )
    if digits > 1 and flip:
        raise ValueError(
            f"digits={digits} and augmentation.flip=true: a mirrored row is of another class; "
            "give data.augmentation.flip=false"
        )


def composed_names(names: Sequence[str], digits: int) -> tuple[str, ...]:
    """Return the K^D names in the order of the labels.

    >>> composed_names("01", 2), composed_names(("cat", "dog"), 2)[1]
    (('00', '01', '10', '11'), 'cat+dog')
    """
    if len(names) ** digits > MOST_CLASSES:
        raise ValueError(
            f"digits={digits} turns {len(names)} classes into {len(names) ** digits}; "
            f"allowed are {MOST_CLASSES} at most: give fewer digits or fewer num_classes"
        )
    joint = "" if all(len(name) == 1 for name in names) else "+"
    return tuple(joint.join(parts) for parts in product(names, repeat=digits))
