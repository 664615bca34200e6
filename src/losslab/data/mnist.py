"""MNIST and Fashion-MNIST, from their four published files."""

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from losslab.data.download import Published, damaged
from losslab.data.source import Source

FILES = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)
ARCHIVES = tuple(f"{name}.gz" for name in FILES)
SIDE = 28
IMAGES_HEADER = 16
LABELS_HEADER = 8
LARGEST = IMAGES_HEADER + 60_000 * SIDE * SIDE


@dataclass(frozen=True)
class Family(Published):
    """A data set in the format of MNIST, four files."""

    sha256: tuple[str, ...]  # of the uncompressed content, since compression varies
    class_names: tuple[str, ...]  # ten

    def find(self, root: Path) -> tuple[list[Path], list[str]]:
        """Look for each file in the folder and in the root, compressed or not."""
        files, missing = [], []
        for name in FILES:
            names = (f"{self.folder}/{name}", f"{self.folder}/{name}.gz", name, f"{name}.gz")
            file = next((root / name for name in names if (root / name).is_file()), None)
            if file is None:
                missing.append(f"{name}.gz")
            else:
                files.append(file)
        return files, missing

    def read(self, root: Path, files: list[Path]) -> Source:  # noqa: ARG002
        """Read images and labels of both parts."""
        train_images, train_labels, test_images, test_labels = map(_content, files, self.sha256)
        train, test = _part(train_images, train_labels), _part(test_images, test_labels)
        return Source(self.name, *train, *test, len(self.class_names), self.class_names)


MNIST = Family(
    "mnist",
    "MNIST",
    "MNIST/raw",
    ARCHIVES,
    (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    tuple(str(digit) for digit in range(10)),
)
FASHION_MNIST = Family(
    "fashion_mnist",
    "FashionMNIST",
    "FashionMNIST/raw",
    ARCHIVES,
    (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
)


def mnist(
    *, root: str | Path, download: bool = True, cache_dir: str | Path | None = None
) -> Source:
    """Read MNIST: 60,000 training and 10,000 test digits, ``(N, 1, 28, 28)``.

    The files, compressed (``.gz``) or not, are expected in ``root/MNIST/raw``, where
    torchvision keeps them, or in ``root`` itself. If they are there, nothing is written.

    Args:
        root: A torchvision root; ``~`` is the home folder.
        download: Whether to download missing files into ``root/MNIST/raw``.
        cache_dir: Where the tensors are kept for the next read; ``None`` keeps nothing.

    Raises:
        ValueError: Files that are missing, truncated or altered, or a download that failed.

    Source: LeCun, Bottou, Bengio, Haffner 1998.
    """
    return MNIST.source(root, download=download, cache_dir=cache_dir)


def fashion_mnist(
    *, root: str | Path, download: bool = True, cache_dir: str | Path | None = None
) -> Source:
    """Read Fashion-MNIST: 60,000 training and 10,000 test garments, ``(N, 1, 28, 28)``.

    All else as :func:`mnist`, with ``root/FashionMNIST/raw``.

    Source: Xiao, Rasul, Vollgraf 2017, https://arxiv.org/abs/1708.07747.
    """
    return FASHION_MNIST.source(root, download=download, cache_dir=cache_dir)


def _content(file: Path, sha256: str) -> bytes:
    try:
        # At most the size of the largest file, as a small archive can hold gigabytes of zeros.
        with (gzip.open if file.suffix == ".gz" else open)(file, "rb") as opened:
            content = opened.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(file, str(error)) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise damaged(file, "its checksum differs")
    return content


def _part(images: bytes, labels: bytes) -> tuple[Tensor, Tensor]:
    pixels = np.frombuffer(images, dtype=np.uint8, offset=IMAGES_HEADER)
    classes = np.frombuffer(labels, dtype=np.uint8, offset=LABELS_HEADER).astype(np.int64)
    return torch.from_numpy(pixels.copy()).reshape(-1, 1, SIDE, SIDE), torch.from_numpy(classes)
