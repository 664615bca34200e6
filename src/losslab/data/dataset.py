"""Build the three parts of an experiment from a source, with options that change the task."""

import os
import re
from collections.abc import Callable, Mapping
from functools import partial, wraps
from importlib import import_module
from typing import Any

import torch
import yaml
from torch import Tensor

from losslab.data.augment import Augmentation
from losslab.data.composition import check_digits, composed_names, side_by_side
from losslab.data.parts import Dataset, Part
from losslab.data.source import EXAMPLE, Source
from losslab.data.splits import (
    check_noise,
    check_size,
    noisy_labels,
    resolve_size,
    stratified_order,
)
from losslab.folders import CONFIG_FOLDER
from losslab.seeding import generator
from losslab.types import plain

Images = tuple[Tensor, Tensor]
"""Images ``(N, C, H, W)`` uint8 and labels ``(N,)`` int64."""


def or_named(load: Callable[..., Dataset]) -> Callable[..., Dataset]:
    """Let ``load`` accept a name in ``conf/data`` in place of a source, without Hydra."""

    @wraps(load)
    def load_or_named(source: Any, **options: Any) -> Dataset:
        if isinstance(source, str):
            options = _options(source, options)
            source = options.pop("source")
        return load(source, **options)

    return load_or_named


def _options(name: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options in the file of a data set, instantiated, with ``overrides``."""
    files = {path.stem: path for path in sorted((CONFIG_FOLDER / "data").glob("*.yaml"))}
    if name not in files:
        raise ValueError(f"unknown data {name!r}; allowed are {', '.join(files)}")
    options: dict[str, Any] = yaml.safe_load(files[name].read_text("utf-8")) | dict(overrides)
    del options["_target_"]
    missing = [key for key, value in options.items() if value == "???"]
    if missing:
        raise ValueError(f"{name} needs {missing[0]}; give {missing[0]}=...")
    return {key: _instantiated(value, options) for key, value in options.items()}


def _instantiated(value: Any, options: Mapping[str, Any]) -> Any:
    """Instantiate a node or resolve an interpolation; other values stay as they are."""
    if isinstance(value, dict):
        arguments = {key: item for key, item in value.items() if not key.startswith("_")}
        target = getattr(import_module("losslab.data"), value["_target_"].rpartition(".")[2])
        return partial(target, **arguments) if value.get("_partial_") else target(**arguments)
    if not isinstance(value, str):
        return value
    variable = re.fullmatch(r"\$\{oc\.env:(\w+),'(.*)'\}", value)
    if variable:
        return os.environ.get(variable.group(1), variable.group(2))
    option = re.fullmatch(r"\$\{\.(\w+)\}", value)
    return str(options[option.group(1)]) if option else value


@or_named
def load(
    source: Callable[..., Source],
    *,
    dataset: str,
    val_size: int | float,
    split_seed: int = 0,
    train_size: int | float | None = None,
    num_classes: int | None = None,
    digits: int = 1,
    label_noise: float = 0.0,
    noise_kind: str = "symmetric",
    augmentation: Augmentation | None = None,
    **arguments: Any,
) -> Dataset:
    """Read a source and build the data set of an experiment; the target of ``conf/data``.

    ``source`` is a function such as :func:`losslab.data.mnist5k`, called with ``arguments`` such as
    ``root`` or ``cache_dir``; or a name such as ``"mnist5k"`` (see ``losslab list data``). With a
    name all options are optional: their defaults are in the file of that name in ``conf/data``.
    ``dataset`` identifies the data: two data sets of the same name are assumed to be equal. All
    other options are those of :func:`build`.

    Raises:
        ValueError: The name is unknown, an option is out of range (checked before anything is
            read), or the data cannot be read.

    >>> load("synthetic", train_size=40, label_noise=0.25)
    synthetic: images of 1x16x16, 4 classes
    train: 40 images (pattern 0: 10, pattern 1: 10, pattern 2: 10, pattern 3: 10)
    val: 128 images (pattern 0: 32, pattern 1: 32, pattern 2: 32, pattern 3: 32)
    test: 256 images (pattern 0: 64, pattern 1: 64, pattern 2: 64, pattern 3: 64)
    """
    options: dict[str, Any] = {
        "val_size": val_size,
        "split_seed": split_seed,
        "train_size": train_size,
        "num_classes": num_classes,
        "digits": digits,
        "label_noise": label_noise,
        "noise_kind": noise_kind,
        "augmentation": augmentation,
    }
    options = {key: plain(value) for key, value in options.items()}
    _check_options(**options)
    read = source(**arguments)
    if not isinstance(read, Source):
        raise ValueError(
            f"source returns {type(read).__name__}, not losslab.data.Source; collect the images "
            f"and labels of a torch Dataset, and return {EXAMPLE}"
        )
    return build(read, name=dataset, **options)


def build(
    source: Source,
    *,
    val_size: int | float,
    split_seed: int = 0,
    train_size: int | float | None = None,
    num_classes: int | None = None,
    digits: int = 1,
    label_noise: float = 0.0,
    noise_kind: str = "symmetric",
    augmentation: Augmentation | None = None,
    name: str | None = None,
) -> Dataset:
    """Split a source into training, validation and test parts.

    The steps, each with its own random stream of ``split_seed``:

    1. Keep the first ``num_classes`` classes in all parts.
    2. Split a stratified validation part from the official training part.
    3. Keep a stratified subset of ``train_size`` of the rest; smaller ones are prefixes of larger.
    4. Replace ``round(label_noise * N)`` training labels by another class, either a random one or
       the next one (``noise_kind``). Validation and test labels stay clean.

    With D = ``digits`` above 1, each part then becomes rows of D of its own images, so that no
    validation or test image is in a training row. The class of a row is the sequence of the classes
    of its images, one of K^D, all equally frequent. A part has as many rows as it had images, or 20
    per class (validation and test 5) if that is more. ``train_size`` counts training rows, which
    use all training images and may outnumber them. Noise applies to the labels of rows.
    ``deep_cnn``, ``resnet20`` and ``whitened_cnn`` pool each channel over all positions and see the
    order only in an image's surroundings: they learn rows far more slowly than other models.

    Args:
        source: The images and labels.
        val_size: A count, or a fraction in (0, 1) of the official training part.
        split_seed: The seed of all random draws here; independent of a run's seed.
        train_size: A count of at least one per class, or a fraction in (0, 1) of the available
            examples; ``None`` for all of them.
        num_classes: From 2 to the number in the source; ``None`` for all.
        digits: Images side by side; 1 for single images.
        label_noise: A share in ``[0, 1)``.
        noise_kind: ``symmetric`` or ``pairwise``; on the command line
            ``+data.noise_kind=pairwise``.
        augmentation: For the training batches; with ``digits`` above 1 it must not mirror.
        name: The name of the result; ``None`` for the source's name.

    Raises:
        ValueError: An option out of range, or two that do not go together.

    >>> from losslab.data import synthetic
    >>> dataset = build(synthetic(num_train=100), val_size=0.2, train_size=40, label_noise=0.25)
    >>> [len(part.labels) for part in (dataset.train, dataset.val, dataset.test)]
    [40, 20, 256]
    >>> int((dataset.train.labels != dataset.train.clean_labels).sum())
    10
    >>> pairs = build(synthetic(num_train=100), val_size=0.2, digits=2)
    >>> pairs.num_classes, pairs.input_shape, len(pairs.train.labels)
    (16, (1, 16, 32), 320)
    """
    val_size, split_seed, train_size, num_classes, digits, label_noise = map(
        plain, (val_size, split_seed, train_size, num_classes, digits, label_noise)
    )
    _check_options(
        val_size, split_seed, train_size, num_classes, digits, label_noise, noise_kind, augmentation
    )
    num_kept = source.num_classes if num_classes is None else num_classes
    if num_kept > source.num_classes:
        raise ValueError(
            f"num_classes={num_kept} is more than the {source.num_classes} classes of "
            f"{source.name}; give 2 to {source.num_classes}, or null for all"
        )
    class_names = source.class_names[:num_kept]
    train, val, test = _split(source, num_kept, val_size=val_size, split_seed=split_seed)
    if digits > 1:
        names, class_names = class_names, composed_names(class_names, digits)
        row = partial(side_by_side, class_names=names, digits=digits, split_seed=split_seed)
        train = row(*train, part="train", size=train_size)
        val, test = row(*val, part="validation"), row(*test, part="test")
    elif train_size is not None:
        num_train = resolve_size(train_size, len(train[1]), least=num_kept, name="train_size")
        train = train[0][:num_train], train[1][:num_train]
    train_images, clean_labels = train
    labels = noisy_labels(
        clean_labels,
        share=label_noise,
        kind=noise_kind,
        num_classes=len(class_names),
        generator=generator(split_seed, "label_noise"),
    )
    mean, std = _channel_statistics(train_images)
    channels, height, width = train_images.shape[1:]
    return Dataset(
        name=source.name if name is None else name,
        train=Part(train_images, labels, clean_labels),
        val=Part(*val, val[1]),
        test=Part(*test, test[1]),
        num_classes=len(class_names),
        class_names=class_names,
        input_shape=(channels, height, width),
        mean=mean,
        std=std,
        augmentation=augmentation,
        notes=source.notes,
    )


def _split(
    source: Source, num_classes: int, *, val_size: int | float, split_seed: int
) -> tuple[Images, Images, Images]:
    """Return the parts with the first classes only; training in the order of its subsets."""
    candidates = (source.train_labels < num_classes).nonzero().squeeze(1)
    labels = source.train_labels[candidates]
    most_val = len(labels) - num_classes
    num_val = resolve_size(val_size, len(labels), name="val_size", most=most_val)
    order = stratified_order(labels, generator(split_seed, "validation"))
    val = candidates[order[:num_val].sort().values]
    train = candidates[order[num_val:].sort().values]
    train = train[stratified_order(source.train_labels[train], generator(split_seed, "train"))]
    test = source.test_images, source.test_labels
    if num_classes < source.num_classes:
        test = test[0][test[1] < num_classes], test[1][test[1] < num_classes]
    return (
        (source.train_images[train], source.train_labels[train]),
        (source.train_images[val], source.train_labels[val]),
        test,
    )


def _check_options(
    val_size: int | float,
    split_seed: int,
    train_size: int | float | None,
    num_classes: int | None,
    digits: int,
    label_noise: float,
    noise_kind: str,
    augmentation: Augmentation | None,
) -> None:
    # The values come from a command line, where any of them may be a word.
    check_size(val_size, name="val_size")
    if type(split_seed) is not int or split_seed < 0:
        raise ValueError(f"split_seed={split_seed}; give a whole number ≥ 0")
    if train_size is not None:
        check_size(train_size, name="train_size")
    if num_classes is not None and (type(num_classes) is not int or num_classes < 2):
        raise ValueError(f"num_classes={num_classes}; give a whole number ≥ 2, or null for all")
    check_noise(label_noise, noise_kind)
    if augmentation is not None and not hasattr(augmentation, "draw"):
        raise ValueError(
            f"augmentation={augmentation}; give null for none, or a node with a _target_ such as "
            "that of conf/data/cifar10.yaml"
        )
    check_digits(digits, flip=getattr(augmentation, "flip", False))


def _channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    # Sums of integers below 2**53 are exact in float64 in any order, so every machine normalises by
    # the same numbers.
    totals = torch.zeros(images.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(totals)
    for start in range(0, len(images), 1024):
        pixels = images[start : start + 1024].transpose(0, 1).flatten(1).double()
        totals += pixels.sum(dim=1)
        squares += torch.linalg.vecdot(pixels, pixels)
    count = images.numel() // images.shape[1]
    mean, std = [], []
    for total, square in zip(totals.tolist(), squares.tolist(), strict=True):
        # In whole numbers, since a small difference of large numbers would lose digits.
        variance = (count * int(square) - int(total) ** 2) / count**2
        mean.append(total / count / 255)
        std.append(variance**0.5 / 255 if variance > 0 else 1.0)
    return tuple(mean), tuple(std)
