"""CIFAR-10 and CIFAR-100, from the archives that their authors published."""

import contextlib
import tarfile
import tempfile
import warnings
from functools import partial
from pathlib import Path

import torch

from losslab.data.download import damaged, published, torchvision
from losslab.data.source import Source

_FOLDERS = {"CIFAR10": "cifar-10-batches-py", "CIFAR100": "cifar-100-python"}
_ARCHIVES = {"CIFAR10": "cifar-10-python.tar.gz", "CIFAR100": "cifar-100-python.tar.gz"}


def cifar10(
    *, root: str | Path, download: bool = True, cache_dir: str | Path | None = None
) -> Source:
    """Read CIFAR-10: 50,000 training and 10,000 test images, ``(N, 3, 32, 32)``.

    The unpacked folder ``cifar-10-batches-py`` or the archive ``cifar-10-python.tar.gz`` is
    looked for in ``root``. Nothing is written where one is found.

    Args:
        root: A torchvision root; ``~`` is the home folder.
        download: Whether to download into ``root`` what is missing.
        cache_dir: Where the tensors are kept for the next read; ``None`` keeps nothing.

    Raises:
        ValueError: Files that are missing, truncated or altered, or a download that failed.

    Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    return _source("CIFAR10", root, allow_download=download, cache_dir=cache_dir)


def cifar100(
    *, root: str | Path, download: bool = True, cache_dir: str | Path | None = None
) -> Source:
    """Read CIFAR-100 with its 100 fine classes; all else as :func:`cifar10`.

    The folder is ``cifar-100-python``, the archive ``cifar-100-python.tar.gz``.
    """
    return _source("CIFAR100", root, allow_download=download, cache_dir=cache_dir)


def _source(
    torchvision_name: str, root: str | Path, *, allow_download: bool, cache_dir: str | Path | None
) -> Source:
    archive = _ARCHIVES[torchvision_name]

    def find(root: Path) -> tuple[list[Path], list[str]]:
        folder = root / _FOLDERS[torchvision_name]
        if folder.is_dir():
            return sorted(folder.iterdir()), []
        return ([root / archive], []) if (root / archive).is_file() else ([], [archive])

    return published(
        torchvision_name.lower(),
        root=root,
        folder="",
        archives=[archive],
        find=find,
        fetch=torchvision_name,
        read=partial(_read, torchvision_name),
        allow_download=allow_download,
        cache_dir=cache_dir,
    )


def _read(torchvision_name: str, root: Path, _: list[Path]) -> Source:
    dataset = torchvision(torchvision_name)
    from torchvision.datasets.utils import check_integrity

    folder, packed = _FOLDERS[torchvision_name], _ARCHIVES[torchvision_name]

    def check(file: Path, md5: str) -> None:
        if not check_integrity(file, md5):
            raise damaged(file, "its checksum differs", delete=f"{folder} and {packed}")

    with contextlib.ExitStack() as stack:
        if not (root / folder).is_dir():
            unpacked = stack.enter_context(tempfile.TemporaryDirectory())
            check(root / packed, dataset.tgz_md5)
            with tarfile.open(root / packed) as archive:
                archive.extractall(unpacked, filter="data")
            root = Path(unpacked)
        # Before anything is unpickled.
        meta = (dataset.meta["filename"], dataset.meta["md5"])
        for name, md5 in (*dataset.train_list, *dataset.test_list, meta):
            check(root / folder / name, md5)
        # numpy warns of how Python 2 pickled the arrays in these files.
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message=r"dtype\(\): align")
        parts = [dataset(root, train=train) for train in (True, False)]
    train, test = (
        (
            torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(),
            torch.tensor(part.targets, dtype=torch.int64),
        )
        for part in parts
    )
    names = tuple(parts[0].classes)
    return Source(torchvision_name.lower(), *train, *test, len(names), names)
