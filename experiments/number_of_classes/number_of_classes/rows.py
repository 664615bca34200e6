"""Two digits side by side, in more or fewer classes: the same images, and only K differs."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from losslab.data import Source, mnist
from losslab.seeding import generator

DIGITS = 10
MARGIN = 4
"""Pixels cut from each side of a digit: MNIST's digits were fitted into the 20x20 that are left."""


def groups(merge: Sequence[int]) -> list[list[str]]:
    """Return for each place the names of its classes: of digits, ``merge`` neighbours are one.

    >>> groups([1, 5])[1], [len(place) for place in groups([1, 5])]
    (['0-4', '5-9'], [10, 2])
    """
    return [
        [
            str(first) if m == 1 else f"{first}-{min(first + m, DIGITS) - 1}"
            for first in range(0, DIGITS, m)
        ]
        for m in merge
    ]


def merged(digits: Tensor, merge: Sequence[int]) -> Tensor:
    """Turn digits ``(N, 2)`` into classes ``(N,)``: the number that the places' classes write.

    >>> merged(torch.tensor([[3, 7], [9, 9]]), [1, 1]), merged(torch.tensor([[3, 7]]), [5, 5])
    (tensor([37, 99]), tensor([1]))
    """
    label = torch.zeros(len(digits), dtype=torch.int64)
    for column, m, names in zip(digits.unbind(1), merge, groups(merge), strict=True):
        label = label * len(names) + column // m
    return label


def pairs(
    *,
    root: str | Path,
    merge: Sequence[int],
    empty: int = 0,
    download: bool = True,
    cache_dir: str | Path | None = None,
) -> Source:
    """Return MNIST's digits in pairs, ``(N, 1, 20, 40)``, each digit in one pair alone.

    The pairs are the same whatever ``merge`` and ``empty``.

    Args:
        root: Of MNIST, as are the last two.
        merge: How many neighbouring digits are one class, left and right, from 1 to 10:
            ``[1, 1]`` makes 100 classes, ``[2, 5]`` 5 times 2, ``[5, 10]`` two.
        empty: Further classes, of which there are no examples.
        download: Whether to download missing files.
        cache_dir: Where the tensors are kept for the next read.

    Raises:
        ValueError: ``merge`` or ``empty`` out of range, or data that cannot be read.
    """
    numbers = [m for m in merge if type(m) is int and 1 <= m <= DIGITS]
    if len(numbers) != 2 or len(merge) != 2 or min(numbers) == DIGITS:
        raise ValueError(
            f"merge={list(merge)}; give two whole numbers from 1 to {DIGITS}, not both {DIGITS}"
        )
    if type(empty) is not int or empty < 0:
        raise ValueError(f"empty={empty}; give a whole number ≥ 0")
    digits = mnist(root=root, download=download, cache_dir=cache_dir)
    train = _paired(digits.train_images, digits.train_labels, merge, part="train")
    test = _paired(digits.test_images, digits.test_labels, merge, part="test")
    left, right = groups(merge)
    names = [f"{a},{b}" for a in left for b in right]
    names += [f"empty {number}" for number in range(empty)]
    return Source("digit pairs", *train, *test, len(names), tuple(names))


def _paired(
    images: Tensor, labels: Tensor, merge: Sequence[int], *, part: str
) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(labels), generator=generator(0, "pairs", part))
    members = order[: len(order) // 2 * 2].reshape(-1, 2)
    inner = images[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]
    row = torch.cat([inner[column] for column in members.unbind(1)], dim=3)
    return row, merged(labels[members], merge)
