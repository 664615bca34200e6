"""Independent random streams from one seed.

The same seed must give the same initial weights, split and batch order for every loss. With a
single global stream, one additional draw would change everything after it.
"""

import hashlib

import torch


def derive(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed for one purpose, such as ``derive(seed, "order", epoch)``.

    It comes from the first eight bytes of a SHA-256, so that it is the same on every platform and
    in every process. Python's own ``hash`` is salted.

    >>> derive(0, "weights") == derive(0, "weights")
    True
    >>> derive(0, "weights") == derive(0, "order")
    False
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(
    seed: int, *purpose: str | int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a fresh generator on ``device``, seeded by :func:`derive`.

    >>> torch.equal(torch.rand(3, generator=generator(0, "a")),
    ...             torch.rand(3, generator=generator(0, "a")))
    True
    """
    return torch.Generator(device=device).manual_seed(derive(seed, *purpose))
