"""CIFAR-10 and CIFAR-100, from the archives that their authors published."""

import contextlib
import tarfile
import tempfile
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from losslab.data.cache import cached, stamp
from losslab.data.download import advice, download
from losslab.data.source import Source
from losslab.files import expanded


@dataclass(frozen=True)
class Family:
    """One of the two data sets.

    Attributes:
        name: losslab's name.
        torchvision_name: torchvision's class, which knows the files and their checksums.
        folder: The unpacked archive under a root.
        archive: The archive's file name.
    """

    name: str
    torchvision_name: str
    folder: str
    archive: str


CIFAR10 = Family("cifar10", "CIFAR10", "cifar-10-batches-py", "cifar-10-python.tar.gz")
CIFAR100 = Family("cifar100", "CIFAR100", "cifar-100-python", "cifar-100-python.tar.gz")


def cifar10(
    *, root: str | Path, download: bool = True, cache_dir: str | Path | None = None
) -> Source:
    """Read CIFAR-10: 50,000 training and 10,000 test pictures, ``(N, 3, 32, 32)``.

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
    return _source(CIFAR10, expanded(root).absolute(), allow_download=download, cache_dir=cache_dir)


def cifar100(
    *, root: str | Path, download: bool = True, cache_dir: str | Path | None = None
) -> Source:
    """Read CIFAR-100 with its 100 fine classes; all else as :func:`cifar10`.

    The folder is ``cifar-100-python``, the archive ``cifar-100-python.tar.gz``.

    Args:
        root: A torchvision root; ``~`` is the home folder.
        download: Whether to download into ``root`` what is missing.
        cache_dir: Where the tensors are kept for the next read; ``None`` keeps nothing.

    Raises:
        ValueError: Files that are missing, truncated or altered, or a download that failed.

    Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    return _source(
        CIFAR100, expanded(root).absolute(), allow_download=download, cache_dir=cache_dir
    )


def _source(
    family: Family, root: Path, *, allow_download: bool, cache_dir: str | Path | None
) -> Source:
    folder, archive = root / family.folder, root / family.archive
    if not folder.is_dir() and not archive.is_file():
        _fetch(family, root, allow_download=allow_download)
    files = sorted(folder.iterdir()) if folder.is_dir() else [archive]
    return cached(
        partial(_read, family, root),
        cache_dir=cache_dir,
        name=family.name,
        fingerprint=stamp(files),
    )


def _fetch(family: Family, root: Path, *, allow_download: bool) -> None:
    what_else = advice(family.name, files=family.archive, folder=root)
    if not allow_download:
        raise ValueError(
            f"{family.name}: neither {family.folder} nor {family.archive} is under {root} and "
            f"download=false; {what_else}"
        )
    download(
        partial(_torchvision(family), download=True),
        root,
        dataset=family.name,
        what_else=what_else,
    )


def _torchvision(family: Family) -> Any:
    # Imported here: it takes seconds, and only a first read needs it.
    from torchvision import datasets

    return getattr(datasets, family.torchvision_name)


def _read(family: Family, root: Path) -> Source:
    dataset = _torchvision(family)
    with contextlib.ExitStack() as stack:
        if not (root / family.folder).is_dir():
            unpacked = stack.enter_context(tempfile.TemporaryDirectory())
            _check(root / family.archive, dataset.tgz_md5, family)
            with tarfile.open(root / family.archive) as archive:
                archive.extractall(unpacked, filter="data")
            root = Path(unpacked)
        # Before anything is unpickled.
        meta = (dataset.meta["filename"], dataset.meta["md5"])
        for name, md5 in (*dataset.train_list, *dataset.test_list, meta):
            _check(root / family.folder / name, md5, family)
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
    class_names = tuple(parts[0].classes)
    return Source(family.name, *train, *test, len(class_names), class_names)


def _check(file: Path, md5: str, family: Family) -> None:
    from torchvision.datasets.utils import check_integrity

    if not check_integrity(file, md5):
        raise ValueError(
            f"truncated or altered: {file}; delete {family.folder} and {family.archive} and run "
            "again with data.download=true, put the originals in place, or use data=mnist5k"
        )
