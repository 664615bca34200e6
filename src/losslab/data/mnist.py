"""MNIST and Fashion-MNIST, from the four files that their authors published."""

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from losslab.data.cache import cached, stamp
from losslab.data.download import advice, download
from losslab.data.source import Source
from losslab.files import expanded

SIDE = 28
IMAGES_HEADER = 16
LABELS_HEADER = 8
LARGEST = IMAGES_HEADER + 60_000 * SIDE * SIDE


@dataclass(frozen=True)
class Family:
    """One of the data sets that come in MNIST's four files.

    Attributes:
        name: losslab's name.
        torchvision_name: torchvision's class, and its folder under a root.
        sha256: File name to the checksum of the uncompressed content: the archives exist in
            several compressions, the content in one. In the order training images, training
            labels, test images, test labels.
        class_names: Ten names.
    """

    name: str
    torchvision_name: str
    sha256: dict[str, str]
    class_names: tuple[str, ...]


MNIST = Family(
    "mnist",
    "MNIST",
    {
        "train-images-idx3-ubyte": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte": (
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte": (
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte": (
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
    tuple(str(digit) for digit in range(10)),
)
FASHION_MNIST = Family(
    "fashion_mnist",
    "FashionMNIST",
    {
        "train-images-idx3-ubyte": (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
        ),
        "train-labels-idx1-ubyte": (
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
        ),
        "t10k-images-idx3-ubyte": (
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
        ),
        "t10k-labels-idx1-ubyte": (
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
        ),
    },
    (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
)  # fmt: skip


def mnist(
    *, root: str | Path, download: bool = True, cache_dir: str | Path | None = None
) -> Source:
    """Read MNIST: 60,000 training and 10,000 test digits, ``(N, 1, 28, 28)``.

    The files, compressed (``.gz``) or not, are looked for in ``root/MNIST/raw``, where
    torchvision keeps them, and in ``root`` itself. Nothing is written where they are found.

    Args:
        root: A torchvision root; ``~`` is the home folder.
        download: Whether to download missing files into ``root/MNIST/raw``.
        cache_dir: Where the tensors are kept for the next read; ``None`` keeps nothing.

    Raises:
        ValueError: Files that are missing, truncated or altered, or a download that failed.

    Source: LeCun, Bottou, Bengio, Haffner 1998.
    """
    return _source(MNIST, expanded(root).absolute(), allow_download=download, cache_dir=cache_dir)


def fashion_mnist(
    *, root: str | Path, download: bool = True, cache_dir: str | Path | None = None
) -> Source:
    """Read Fashion-MNIST: 60,000 training and 10,000 test garments, ``(N, 1, 28, 28)``.

    The files are looked for in ``root/FashionMNIST/raw`` and in ``root``; all else as in
    :func:`mnist`.

    Args:
        root: A torchvision root; ``~`` is the home folder.
        download: Whether to download missing files into ``root/FashionMNIST/raw``.
        cache_dir: Where the tensors are kept for the next read; ``None`` keeps nothing.

    Raises:
        ValueError: Files that are missing, truncated or altered, or a download that failed.

    Source: Xiao, Rasul, Vollgraf 2017, https://arxiv.org/abs/1708.07747.
    """
    return _source(
        FASHION_MNIST,
        expanded(root).absolute(),
        allow_download=download,
        cache_dir=cache_dir,
    )


def _source(
    family: Family, root: Path, *, allow_download: bool, cache_dir: str | Path | None
) -> Source:
    folder = root / family.torchvision_name / "raw"
    if any(_find(name, root, folder) is None for name in family.sha256):
        _fetch(family, root, folder, allow_download=allow_download)
    files = [file for name in family.sha256 if (file := _find(name, root, folder)) is not None]
    assert len(files) == 4, "a download leaves all four files"
    return cached(
        partial(_read, family, files),
        cache_dir=cache_dir,
        name=family.name,
        fingerprint=stamp(files),
    )


def _find(name: str, root: Path, folder: Path) -> Path | None:
    places = (folder / name, folder / f"{name}.gz", root / name, root / f"{name}.gz")
    return next((place for place in places if place.is_file()), None)


def _fetch(family: Family, root: Path, folder: Path, *, allow_download: bool) -> None:
    what_else = advice(
        family.name, files=", ".join(f"{n}.gz" for n in family.sha256), folder=folder
    )
    if not allow_download:
        missing = next(name for name in family.sha256 if _find(name, root, folder) is None)
        raise ValueError(
            f"{family.name}: {missing}.gz is not under {folder} and download=false; {what_else}"
        )
    # Imported here: it takes seconds, and only a download needs it.
    from torchvision import datasets

    dataset = getattr(datasets, family.torchvision_name)
    download(partial(dataset, download=True), root, dataset=family.name, what_else=what_else)


def _read(family: Family, files: list[Path]) -> Source:
    contents = [
        _content(file, sha256) for file, sha256 in zip(files, family.sha256.values(), strict=True)
    ]
    return Source(
        family.name,
        _images(contents[0]),
        _labels(contents[1]),
        _images(contents[2]),
        _labels(contents[3]),
        len(family.class_names),
        family.class_names,
    )


def _content(file: Path, sha256: str) -> bytes:
    try:
        # No more than the largest of the four, since a small archive can hold gigabytes of zeros.
        with (gzip.open if file.suffix == ".gz" else open)(file, "rb") as opened:
            content = opened.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(_damaged(file, str(error))) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(_damaged(file, "its checksum differs"))
    return content


def _damaged(file: Path, reason: str) -> str:
    return (
        f"truncated or altered: {file} ({reason}); delete it and run again with "
        "data.download=true, put the original in its place, or use data=mnist5k"
    )


def _images(content: bytes) -> Tensor:
    pixels = np.frombuffer(content, dtype=np.uint8, offset=IMAGES_HEADER)
    return torch.from_numpy(pixels.copy()).reshape(-1, 1, SIDE, SIDE)


def _labels(content: bytes) -> Tensor:
    classes = np.frombuffer(content, dtype=np.uint8, offset=LABELS_HEADER)
    return torch.from_numpy(classes.astype(np.int64))
