"""The base class of launchers, and helpers for them."""

import importlib.util
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
        results = dict(zip(chain(*work), chain(*self.perform(work)), strict=True))
        return [results[run] for run in runs]

    @abstractmethod
    def perform(self, work: Sequence[Sequence[Run]]) -> Sequence[Sequence[str | None]]:
        """Call :func:`losslab.experiment.perform` on each item and return the results.

        Raises :class:`LauncherError` if workers were lost.
        """

    def on_its_device(self, config: DictConfig) -> DictConfig:
        """Return a run's configuration for the launcher's machines; ``ValueError`` without a GPU.

        Resolves ``auto`` as device and engine, which are part of a run's identity.
        """
        device = str(config.trainer.device)
        if self.device == "cpu" and device.startswith("cuda"):
            advice = "the launcher requests no GPU; add launcher.gpus=1"
            raise ValueError(f"trainer.device={device}: {advice}")
        if device == "auto" and self.device is not None:
            config = config.copy()
            config.trainer.device = device = self.device
        cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
        return with_engine(config, cuda=cuda)


def require(module: str, *, extra: str, group: str = "launcher") -> None:
    """Raise ``ValueError`` if a module is missing, which an extra installs."""
    if importlib.util.find_spec(module) is None:
        missing = f"{group}={extra} needs {module}, which is not installed"
        raise ValueError(f"{missing}; pip install 'losslab[{extra}]'")


def check_counts(settings: object, *names: str, group: str = "launcher") -> None:
    """Raise ``ValueError`` if one of these attributes of ``settings`` is below 1."""
    for name in names:
        if (value := getattr(settings, name)) < 1:
            raise ValueError(f"{group}.{name}={value}; give 1 or more")


def add_to_path(path: Iterable[str]) -> None:
    """Give a worker the import path of the process that launched it."""
    sys.path += [folder for folder in path if folder not in sys.path]
