"""CIFAR-10 and CIFAR-100, from the archives that their authors published."""

import contextlib
import tarfile
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from losslab.data.download import Published, damaged, torchvision
from losslab.data.source import Source


@dataclass(frozen=True)
class Cifar(Published):
    """CIFAR-10 or CIFAR-100, as an archive or as the folder ``unpacked``."""

    unpacked: str

    def find(self, root: Path) -> tuple[list[Path], list[str]]:
        """Look for the folder, then for the archive."""
        folder, archive = root / self.unpacked, root / self.archives[0]
        if folder.is_dir():
            return sorted(folder.iterdir()), []
        return ([archive], []) if archive.is_file() else ([], [archive.name])

    def read(self, root: Path, files: list[Path]) -> Source:  # noqa: ARG002
        """Read both parts, unpacked into a temporary folder if need be."""
        dataset = torchvision(self.torchvision_name)
        from torchvision.datasets.utils import check_integrity

        archive = self.archives[0]

        def check(file: Path, md5: str) -> None:
            if not check_integrity(file, md5):
                raise damaged(file, "its checksum differs", delete=f"{self.unpacked} and {archive}")

        with contextlib.ExitStack() as stack:
            if not (root / self.unpacked).is_dir():
                temporary = stack.enter_context(tempfile.TemporaryDirectory())
                check(root / archive, dataset.tgz_md5)
                with tarfile.open(root / archive) as opened:
                    opened.extractall(temporary, filter="data")
                root = Path(temporary)
            # Before anything is unpickled.
            meta = (dataset.meta["filename"], dataset.meta["md5"])
            for name, md5 in (*dataset.train_list, *dataset.test_list, meta):
                check(root / self.unpacked / name, md5)
            # numpy warns of how Python 2 pickled the arrays in these files.
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", message=r"dtype\(\): align")
            parts = [dataset(root, train=train) for train in (True, False)]
        images = [torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous() for part in parts]
        labels = [torch.tensor(part.targets, dtype=torch.int64) for part in parts]
        names = tuple(parts[0].classes)
        return Source(self.name, images[0], labels[0], images[1], labels[1], len(names), names)


CIFAR10 = Cifar("cifar10", "CIFAR10", "", ("cifar-10-python.tar.gz",), "cifar-10-batches-py")
CIFAR100 = Cifar("cifar100", "CIFAR100", "", ("cifar-100-python.tar.gz",), "cifar-100-python")


def cifar10(
    *, root: str | Path, download: bool = True, cache_dir: str | Path | None = None
) -> Source:
    """Read CIFAR-10: 50,000 training and 10,000 test images, ``(N, 3, 32, 32)``.

    The unpacked folder ``cifar-10-batches-py`` or the archive ``cifar-10-python.tar.gz`` is
    expected in ``root``. If one is there, nothing is written.

    Args:
        root: A torchvision root; ``~`` is the home folder.
        download: Whether to download missing files into ``root``.
        cache_dir: Where the tensors are kept for the next read; ``None`` keeps nothing.

    Raises:
        ValueError: Files that are missing, truncated or altered, or a download that failed.

    Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    return CIFAR10.source(root, download=download, cache_dir=cache_dir)


def cifar100(
    *, root: str | Path, download: bool = True, cache_dir: str | Path | None = None
) -> Source:
    """Read CIFAR-100 with its 100 fine classes; all else as :func:`cifar10`.

    The folder is ``cifar-100-python``, the archive ``cifar-100-python.tar.gz``.
    """
    return CIFAR100.source(root, download=download, cache_dir=cache_dir)
