"""Anybody's own pictures, one folder a class."""

import os
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from losslab.data.cache import cached, stamp
from losslab.data.source import Source
from losslab.data.splits import stratified_order
from losslab.files import expanded
from losslab.seeding import generator

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# The test part must never change, or results of different days could not be compared.
TEST_SEED = 5000


def image_folder(
    *,
    root: str | Path,
    train_folder: str = "train",
    test_folder: str = "test",
    image_size: int | None = None,
    cache_dir: str | Path | None = None,
) -> Source:
    """Read ``root/train/CLASS/*`` and ``root/test/CLASS/*`` as RGB pictures ``(N, 3, H, W)``.

    It is the layout of torchvision's ``ImageFolder``: the classes are the folders' names in
    alphabetical order, pictures may lie deeper inside. Where there is no test folder, a
    stratified tenth of the pictures is set apart by a constant seed.

    Args:
        root: The folder that holds the parts; ``~`` is the home folder.
        train_folder: Name of the training part's folder.
        test_folder: Name of the test part's folder.
        image_size: Resize every picture to this height and width (bilinear; other proportions
            are stretched). ``None`` for pictures that have one size already.
        cache_dir: Where the tensors are kept for the next read; ``None`` keeps nothing.

    Raises:
        ValueError: A missing folder, fewer than two classes, a class without pictures, a test
            class that training does not have, a picture that cannot be read, or pictures of
            different sizes.
    """
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size={image_size}; give a number of pixels from 1 up, or null")
    base = expanded(root).absolute()
    train = _pictures(base / train_folder)
    if len(train) < 2:
        raise ValueError(
            f"{base / train_folder} holds {len(train)} class folders; "
            "give one folder of pictures for each of 2 or more classes"
        )
    test = _pictures(base / test_folder) if (base / test_folder).is_dir() else {}
    unknown = sorted(test.keys() - train.keys())
    if unknown:
        raise ValueError(
            f"{base / test_folder} holds the class {unknown[0]!r}, which {base / train_folder} "
            "does not; the classes must have the same names in both"
        )
    files = [file for part in (train, test) for names in part.values() for file in names]
    return cached(
        partial(_read, train, test, image_size=image_size),
        cache_dir=cache_dir,
        name="image_folder",
        fingerprint=f"{image_size}\n{stamp(files)}",
    )


def _pictures(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise ValueError(
            f"no folder {folder}; give data.root=FOLDER with FOLDER/train/CLASS/picture.png, "
            "or name the parts by data.train_folder and data.test_folder"
        )
    found = {}
    for class_folder in sorted(path for path in folder.iterdir() if path.is_dir()):
        # torchvision's order: a folder's own pictures, then those of the folders inside.
        files = [
            Path(place) / name
            for place, _, names in sorted(os.walk(class_folder, followlinks=True))
            for name in sorted(names)
            if name.lower().endswith(EXTENSIONS)
        ]
        if not files:
            raise ValueError(
                f"no pictures in {class_folder}; give files ending in "
                f"{' '.join(EXTENSIONS)}, or delete the folder"
            )
        found[class_folder.name] = files
    return found


def _read(
    train: dict[str, list[Path]], test: dict[str, list[Path]], *, image_size: int | None
) -> Source:
    class_names = tuple(train)
    index = {name: label for label, name in enumerate(class_names)}
    files, labels = [], []
    for part in (train, test):
        for name, pictures in part.items():
            files += pictures
            labels += [index[name]] * len(pictures)
    images, target = _decode(files, image_size), torch.tensor(labels)
    if test:
        num_train = sum(len(pictures) for pictures in train.values())
        first, second = torch.arange(num_train), torch.arange(num_train, len(files))
    else:
        order = stratified_order(target, generator(TEST_SEED, "image_folder", "test"))
        num_test = max(1, round(len(files) / 10))
        first, second = order[num_test:].sort().values, order[:num_test].sort().values
    return Source(
        "image_folder",
        images[first],
        target[first],
        images[second],
        target[second],
        len(class_names),
        class_names,
    )


def _decode(files: list[Path], image_size: int | None) -> Tensor:
    # Imported here: only a first read needs it.
    from PIL import Image

    pixels: np.ndarray | None = None
    for position, file in enumerate(files):
        try:
            with Image.open(file) as opened:
                picture = opened.convert("RGB")
        # Pillow's decoders answer broken files with these, among them SyntaxError for PNG.
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
            raise ValueError(
                f"cannot read the picture {file} ({error}); delete or replace it"
            ) from error
        if image_size is not None:
            picture = picture.resize((image_size, image_size), Image.Resampling.BILINEAR)
        array = np.asarray(picture)
        if pixels is None:
            pixels = np.empty((len(files), *array.shape), dtype=np.uint8)
        if array.shape != pixels.shape[1:]:
            raise ValueError(
                f"pictures of different sizes: {files[0]} is {_size(pixels[0])}, {file} is "
                f"{_size(array)}; give data.image_size=PIXELS to resize all"
            )
        pixels[position] = array
    assert pixels is not None, "there are two classes or more, and none is empty"
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
