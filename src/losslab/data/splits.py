"""Stratified splits, sizes and label noise."""

import torch
from torch import Tensor

from losslab import seeding

# A test part must never change; otherwise results could not be compared.
_TEST_SEED = 5000

NOISE_KINDS = ("symmetric", "pairwise")
"""See :func:`noisy_labels`."""


def stratified_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Return a random order of all examples in which every prefix is stratified.

    The j-th of a class's n examples, in random order, gets the position ``(j + 1/2) / n``; ties are
    broken at random. A prefix therefore holds the classes in proportion, to within about one
    example; if classes have equal sizes, each block of K examples holds one of each.

    Returns:
        ``(N,)`` int64, a permutation of ``0 .. N - 1``.

    >>> labels = torch.tensor([0, 0, 0, 1, 1, 1])
    >>> order = stratified_order(labels, torch.Generator().manual_seed(0))
    >>> [sorted(labels[order][i : i + 2].tolist()) for i in (0, 2, 4)]
    [[0, 1], [0, 1], [0, 1]]
    """
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = torch.argsort(labels[shuffled], stable=True)
    counts = torch.bincount(labels)
    sizes = counts.repeat_interleave(counts)
    rank = torch.arange(len(labels)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    position = torch.empty(len(labels), dtype=torch.float64)
    position[by_class] = (2 * rank + 1).double() / (2 * sizes).double()
    return shuffled[torch.argsort(position, stable=True)]


def hold_out(labels: Tensor, num_test: int, name: str) -> tuple[Tensor, Tensor]:
    """Return ascending indices of a training part and of a stratified test part.

    The test part of the data set ``name`` is always the same.
    """
    order = stratified_order(labels, seeding.generator(_TEST_SEED, name, "test"))
    return order[num_test:].sort().values, order[:num_test].sort().values


def resolve_size(
    size: int | float, available: int, *, name: str, least: int = 1, most: int | None = None
) -> int:
    """Return ``size``, a count or a fraction of ``available``, as a count.

    ``ValueError`` as :func:`check_size`, or outside ``least .. most`` (default: ``available``).

    >>> resolve_size(500, 4000, name="val_size"), resolve_size(0.1, 4000, name="val_size")
    (500, 400)
    """
    check_size(size, name=name)
    count = size if isinstance(size, int) else round(size * available)
    most = available if most is None else most
    if most < least:
        raise ValueError(
            f"{name}={size}: {available} examples are too few, since each class needs one for "
            "training; give more, or fewer classes with num_classes"
        )
    if not least <= count <= most:
        raise ValueError(
            f"{name}={size} asks for {count} of {available} examples; "
            f"give a count from {least} to {most}, or a fraction in (0, 1)"
        )
    return count


def check_size(size: int | float, *, name: str) -> None:
    """Raise ``ValueError`` unless ``size`` is an integer ≥ 1 or a fraction in ``(0, 1)``."""
    is_count = type(size) is int and size >= 1
    is_fraction = isinstance(size, float) and 0.0 < size < 1.0
    if not (is_count or is_fraction):
        raise ValueError(f"{name}={size} is not a size; give a count ≥ 1 or a fraction in (0, 1)")


def noisy_labels(
    labels: Tensor, *, share: float, kind: str, num_classes: int, generator: torch.Generator
) -> Tensor:
    """Replace ``round(share * N)`` of the labels by a different class.

    With the same generator, a smaller share changes a subset of the labels that a larger one
    changes, to the same classes. Both kinds change the same labels.

    Args:
        labels: ``(N,)`` int64.
        share: In ``[0, 1)``.
        kind: ``symmetric`` draws one of the K - 1 other classes uniformly; ``pairwise`` takes the
            next one, (y + 1) mod K, which models classes that are confused in pairs.
        num_classes: K.
        generator: Used for all draws.

    Raises:
        ValueError: A positive share rounds to no label.

    >>> wrong = {kind: noisy_labels(torch.zeros(10, dtype=torch.int64), share=0.4, kind=kind,
    ...          num_classes=3, generator=torch.Generator().manual_seed(0)) for kind in NOISE_KINDS}
    >>> [sorted(set(labels.tolist())) for labels in wrong.values()]
    [[0, 1, 2], [0, 1]]
    """
    order = torch.randperm(len(labels), generator=generator)
    offset = torch.randint(1, num_classes, labels.shape, generator=generator)
    if kind == "pairwise":
        offset = torch.ones_like(labels)
    count = round(share * len(labels))
    if share and not count:
        raise ValueError(
            f"label_noise={share} changes none of the {len(labels)} training labels; give 0, "
            f"or at least {1 / len(labels):.2g}"
        )
    changed = torch.zeros(len(labels), dtype=torch.bool)
    changed[order[:count]] = True
    return torch.where(changed, (labels + offset) % num_classes, labels)


def check_noise(share: float, kind: str) -> None:
    """Raise ``ValueError`` for a share outside ``[0, 1)`` or an unknown kind."""
    if type(share) not in (int, float) or not 0.0 <= share < 1.0:
        raise ValueError(f"label_noise={share}; give a share in [0, 1)")
    if kind not in NOISE_KINDS:
        raise ValueError(f"noise_kind={kind}; give one of {', '.join(NOISE_KINDS)}")
