"""Normalisation layers by name."""

from torch import nn

GROUPS = 8


def normalization_layer(name: str, channels: int) -> nn.Module:
    """Return a layer that normalises ``(N, C, H, W)``.

    Args:
        name: ``none``; ``batch`` (Ioffe and Szegedy 2015); ``group``, 8 groups of channels, or
            fewer where 8 does not divide C (Wu and He 2018); ``layer``, one group.
        channels: C.

    Raises:
        ValueError: Another name.

    >>> normalization_layer("group", 16).num_groups
    8
    """
    if name == "none":
        return nn.Identity()
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "group":
        groups = max(n for n in range(1, GROUPS + 1) if channels % n == 0)
        return nn.GroupNorm(groups, channels)
    if name == "layer":
        return nn.GroupNorm(1, channels)
    raise ValueError(f"normalization={name!r}; give one of none, batch, group, layer")
