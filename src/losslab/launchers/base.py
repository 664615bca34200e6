"""The interface of a launcher, and checks that all of them share."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, NamedTuple, Self

from omegaconf import DictConfig

from losslab.recording import Run


class Failed(NamedTuple):
    """A run that did not end, with the reason in one line; its log has the traceback."""

    run: Run
    reason: str


class LauncherError(RuntimeError):
    """A launcher ended before its runs did.

    Attributes:
        failed: The runs that are not finished.
    """

    failed: Sequence[Failed] = ()


class Launcher(ABC):
    """Does runs somewhere; a context manager, so that workers serve a whole sweep or study."""

    device: Literal["cpu", "cuda"] | None = None
    """What ``trainer.device=auto`` means where the runs are done; ``None`` on this machine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(  # noqa: B027  # most have none
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the workers."""

    @abstractmethod
    def launch(self, runs: Sequence[Run]) -> Sequence[str | None]:
        """Do all runs, at least one; return what :func:`losslab.experiment.perform` did of each.

        Raises:
            LauncherError: Workers ended before their runs did.
        """

    def on_its_device(self, config: DictConfig) -> DictConfig:
        """Return a run's configuration for the machines of the launcher.

        What ``trainer.device=auto`` stands for is part of what a run is, so it has to be known
        where the run is planned.

        Raises:
            ValueError: The run needs a GPU, and the launcher gives it none.
        """
        wanted = str(config.trainer.device)
        if self.device is None or wanted == self.device:
            return config
        if self.device == "cpu" and wanted.startswith("cuda"):
            raise ValueError(
                f"trainer.device={wanted}: the launcher gives no GPU; add launcher.gpus=1"
            )
        if wanted != "auto":
            return config
        there = config.copy()
        there.trainer.device = self.device
        return there


def require(module: str, *, launcher: str) -> None:
    """Raise ``ValueError`` if a module is not installed.

    Args:
        module: Its name.
        launcher: The choice that needs it, and the extra that installs it.
    """
    if importlib.util.find_spec(module) is None:
        raise ValueError(
            f"launcher={launcher} needs {module}, which is not installed; "
            f"pip install 'losslab[{launcher}]'"
        )


def check_counts(given: object, *names: str) -> None:
    """Raise ``ValueError`` if an attribute of ``given`` is below 1."""
    for name in names:
        value = getattr(given, name)
        if value < 1:
            raise ValueError(f"launcher.{name}={value}; give 1 or more")
