"""Mini-batches from tensors that are already on the device."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from losslab.data.augment import Augmentation
from losslab.data.parts import Part, shift_and_scale
from losslab.seeding import generator
from losslab.types import Batch

EVALUATION_BATCH_SIZE = 1000
_MOST_NORMALISED = 2**26  # pixels: 256 MiB in float32


class BatchLoader:
    """Yields normalised batches of one part: ``(pixel / 255 - mean) / std`` in each channel.

    The images are moved to the device once; each batch selects from them there. The
    order of an epoch depends on the seed and the epoch alone, never on the device, the model or
    the loss.

    Args:
        part: The examples.
        batch_size: Examples per batch, ≥ 1; the last one of an epoch may be smaller.
        mean: One number per channel, in units of full brightness (0 .. 1); ``None`` leaves
            examples, then of any shape and type, as they are.
        std: One positive number per channel, in the same units.
        device: The device of the batches.
        channels_last: Whether the images are laid out ``(N, H, W, C)`` in memory, which
            convolutions on a CPU and on recent GPUs prefer. Shapes stay ``(N, C, H, W)``.
        augmentation: Applied in :meth:`epoch`, never in :meth:`in_order`.

    Raises:
        ValueError: ``batch_size`` is below 1, or only one of ``mean`` and ``std`` is given.

    >>> from losslab.data import build, synthetic
    >>> dataset = build(synthetic(num_train=100), val_size=20)
    >>> loader = BatchLoader(dataset.train, batch_size=32, mean=dataset.mean, std=dataset.std)
    >>> [len(batch.labels) for batch in loader.epoch(seed=0, epoch=0)], len(loader)
    ([32, 32, 16], 3)
    """

    def __init__(
        self,
        part: Part,
        *,
        batch_size: int,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        device: torch.device | str = "cpu",
        channels_last: bool = False,
        augmentation: Augmentation | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}; give a number of examples ≥ 1")
        if (mean is None) != (std is None):
            raise ValueError(f"mean={mean} and std={std}; give both, or neither for none")
        self.part, self.batch_size = part, batch_size
        self.num_examples = len(part.labels)
        self.device = torch.device(device)
        self.channels_last = channels_last
        self.augmentation = augmentation
        images = part.images.to(self.device)
        if channels_last:
            # A clone, since for one channel contiguous() accepts the strides (HW, HW, W, 1) and
            # changes nothing, but with them convolutions are slow.
            images = images.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format)
        self._images = images
        self._labels = part.labels.to(self.device)
        self._clean_labels = part.clean_labels.to(self.device)
        self._normalisation: tuple[Tensor, Tensor] | None = None
        if mean is not None and std is not None:
            shift, scale = shift_and_scale(mean, std)
            self._normalisation = shift.to(self.device), scale.to(self.device)
            # Small parts are normalised once, unless augmentation still has to change the pixels.
            if augmentation is None and images.numel() <= _MOST_NORMALISED:
                normalised = self._normalise(self._as_images(images))
                self._images = normalised.permute(0, 2, 3, 1) if channels_last else normalised
                self._normalisation = None

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-self.num_examples // self.batch_size)

    def epoch(self, seed: int, epoch: int) -> Iterator[Batch]:
        """Yield all examples once, in the seed's random order for that epoch."""
        order, draws = self.order(seed, epoch), self.draws(seed, epoch)
        for start in range(0, self.num_examples, self.batch_size):
            examples = slice(start, start + self.batch_size)
            draw = None if draws is None else draws[:, examples]
            yield self.select(order[examples], draw)

    def order(self, seed: int, epoch: int) -> Tensor:
        """Return the order of the examples in an epoch, ``(N,)`` int64 on the device."""
        order = torch.randperm(self.num_examples, generator=generator(seed, "order", epoch))
        return order.to(self.device)

    def draws(self, seed: int, epoch: int) -> Tensor | None:
        """Return an epoch's augmentation draws, ``(3, N)`` in its order, if it is augmented."""
        if self.augmentation is None:
            return None
        source = generator(seed, "augmentation", epoch)
        draws = self.augmentation.draw(self.num_examples, source).to(self.device)
        if getattr(self.augmentation, "alternate", False):
            # Which half an example belongs to does not depend on its place in the order.
            half = torch.randint(0, 2, (self.num_examples,), generator=generator(seed, "flips"))
            draws[0] = (half.to(self.device)[self.order(seed, epoch)] + epoch) % 2
        return draws

    def select(self, indices: Tensor, draw: Tensor | None = None) -> Batch:
        """Return the examples at ``indices`` ``(B,)`` int64, augmented by ``draw`` ``(3, B)``."""
        images = self._as_images(self._images.index_select(0, indices))
        if self.augmentation is not None and draw is not None:
            images = self.augmentation.apply(images, draw)
        return Batch(self._normalise(images), self._labels.index_select(0, indices))

    def clean_labels(self, seed: int, epoch: int) -> Tensor:
        """Return the labels before label noise, ``(N,)``, in the order of :meth:`epoch`.

        They are not part of a batch, since nothing may be learned from them.
        """
        return self._clean_labels.index_select(0, self.order(seed, epoch))

    def in_order(self, batch_size: int = EVALUATION_BATCH_SIZE) -> Iterator[Batch]:
        """Yield all examples once, in the order in which they are stored, for evaluation."""
        for start in range(0, self.num_examples, batch_size):
            images = self._as_images(self._images[start : start + batch_size])
            yield Batch(self._normalise(images), self._labels[start : start + batch_size])

    def _as_images(self, stored: Tensor) -> Tensor:
        return stored.permute(0, 3, 1, 2) if self.channels_last else stored

    def _normalise(self, images: Tensor) -> Tensor:
        if self._normalisation is None:
            return images
        keep = torch.preserve_format if self.channels_last else torch.contiguous_format
        pixels = images.to(torch.float32, memory_format=keep)
        shift, scale = self._normalisation
        return pixels.sub_(shift).mul_(scale)
