"""The data of a run: read once per process, and identified by content."""

from functools import cache, lru_cache

from omegaconf import DictConfig, OmegaConf

from losslab.data import Dataset
from losslab.data.cache import NotDownloadedError
from losslab.data.source import EXAMPLE
from losslab.experiment.make import make

# Their content is fixed: verified by checksum, or drawn from a seed.
_FIXED = {
    f"losslab.data.{name}"
    for name in ("cifar10", "cifar100", "fashion_mnist", "mnist", "mnist5k", "synthetic")
}
_LOAD = "losslab.data.load"
CONTENT = "data_sha256"
"""The configuration key for :func:`content_of`."""


def is_custom(data: DictConfig) -> bool:
    """Return whether the data come from a source that is not losslab's own."""
    return _source(data) not in {*_FIXED, "losslab.data.image_folder"}


def _source(data: DictConfig) -> str | None:
    return OmegaConf.select(data, "source._target_") if data.get("_target_") == _LOAD else None


def content_of(data: DictConfig) -> str | None:
    """Return the SHA-256 of data that may change: a folder of images, or a custom source.

    It covers the tensors, so a folder may be moved or copied. The result is cached for the process.
    """
    return None if _source(data) in _FIXED else _content(OmegaConf.to_yaml(data, resolve=True))


def load(data: DictConfig, *, content: str | None = None) -> Dataset:
    """Return a configuration's data set; ``ValueError`` if ``content`` differs from its hash."""
    missing = sorted(str(key) for key in data if OmegaConf.is_missing(data, key))
    if missing:
        raise ValueError(f"data.{missing[0]} has no value; give data.{missing[0]}=...")
    try:
        dataset, digest = _load(OmegaConf.to_yaml(data, resolve=True), _source(data) not in _FIXED)
    except ValueError as error:
        # Hydra and make wrapped it.
        cause = error.__cause__ and error.__cause__.__cause__
        if isinstance(cause, NotDownloadedError):
            raise cause from None
        raise
    if content is not None and digest != content:
        raise ValueError(
            f"data={dataset.name}: the images or labels have changed since the command began, or "
            "the source draws new ones each time; use a fixed seed in it, or run the command again"
        )
    return dataset


def forget() -> None:
    """Clear the caches, so that the next command in this process reads the files again."""
    _content.cache_clear()
    _load.cache_clear()


@cache
def _content(yaml: str) -> str | None:
    return _load(yaml, True)[1]


# A sweep checks many configurations of the same data.
@lru_cache(maxsize=2)
def _load(yaml: str, may_change: bool) -> tuple[Dataset, str | None]:
    node = OmegaConf.create(yaml)
    assert isinstance(node, DictConfig)
    dataset = make(node, "data")
    if not isinstance(dataset, Dataset):
        raise ValueError(
            f"data._target_={node._target_} returns {type(dataset).__name__}, not "
            "losslab.data.Dataset; leave data._target_=losslab.data.load, and give a function as "
            f"data.source that returns {EXAMPLE}"
        )
    return dataset, dataset.sha256() if may_change else None
