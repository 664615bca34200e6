"""The base class of launchers, and helpers for them."""

import importlib.util
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal, NamedTuple, Self

import torch
from omegaconf import DictConfig

from losslab.experiment import stacks, with_engine
from losslab.recording import Run


class Failed(NamedTuple):
    """A run that is not finished, with the reason in one line; its log has the traceback."""

    run: Run
    reason: str


class LauncherError(RuntimeError):
    """Workers were lost before their runs ended."""

    failed: Sequence[Failed] = ()


class Launcher(ABC):
    """Trains runs; a context manager, so that workers live for a whole sweep or study."""

    device: Literal["cpu", "cuda"] | None = None
    """What ``trainer.device=auto`` means for its workers; ``None`` for those on this machine."""

    @property
    def at_once(self) -> int | None:
        """The number of concurrent runs, ``None`` if it is not known in advance."""
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:  # noqa: B027  # most have none
        """Stop the workers."""

    def launch(self, runs: Sequence[Run]) -> Sequence[str | None]:
        """Do all runs, those of a stack together; return the result of ``perform`` for each."""
        work = stacks(runs)
        ended = dict(zip(chain(*work), chain(*self.perform(work)), strict=True))
        return [ended[run] for run in runs]

    @abstractmethod
    def perform(self, work: Sequence[Sequence[Run]]) -> Sequence[Sequence[str | None]]:
        """Call :func:`losslab.experiment.perform` on each item and return the results.

        Raises :class:`LauncherError` if workers were lost.
        """

    def on_its_device(self, config: DictConfig) -> DictConfig:
        """Return a run's configuration for the launcher's machines; ``ValueError`` without a GPU.

        Resolves ``auto`` as device and engine, which are part of a run's identity.
        """
        wanted = str(config.trainer.device)
        if self.device is None:
            cuda = wanted.startswith("cuda") or (wanted == "auto" and torch.cuda.is_available())
            return with_engine(config, cuda=cuda)
        if self.device == "cpu" and wanted.startswith("cuda"):
            advice = "the launcher gives no GPU; add launcher.gpus=1"
            raise ValueError(f"trainer.device={wanted}: {advice}")
        if wanted == "auto":
            config = config.copy()
            config.trainer.device = wanted = self.device
        return with_engine(config, cuda=wanted.startswith("cuda"))


def require(module: str, *, extra: str, of: str = "launcher") -> None:
    """Raise ``ValueError`` if a module is missing, which an extra installs."""
    if importlib.util.find_spec(module) is None:
        missing = f"{of}={extra} needs {module}, which is not installed"
        raise ValueError(f"{missing}; pip install 'losslab[{extra}]'")


def check_counts(given: object, *names: str, of: str = "launcher") -> None:
    """Raise ``ValueError`` if an attribute of ``given`` is below 1."""
    for name in names:
        if getattr(given, name) < 1:
            raise ValueError(f"{of}.{name}={getattr(given, name)}; give 1 or more")


def variables() -> dict[str, str]:
    """Return losslab's environment variables, which a notebook may change, for a worker."""
    return {name: value for name, value in os.environ.items() if name.startswith("LOSSLAB_")}


def add_to_path(path: Iterable[str]) -> None:
    """Give a worker the import path of the process that launched it."""
    sys.path += [place for place in path if place not in sys.path]
