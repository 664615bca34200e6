"""What a launcher is, and what it needs that may not be installed."""

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
    """Does runs somewhere; a context manager, so that workers serve several rounds of a sweep."""

    device: Literal["cpu", "cuda"] | None = None
    """What ``trainer.device=auto`` is where the runs are done; ``None`` for this very machine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(  # noqa: B027  # most have none
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the workers go."""

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
    """Raise ``ValueError`` where a module is not installed.

    Args:
        module: That is imported.
        launcher: The choice that needs it, and the extra that has it.
    """
    if importlib.util.find_spec(module) is None:
        raise ValueError(
            f"launcher={launcher} needs {module}, which is not installed; "
            f"pip install 'losslab[{launcher}]'"
        )


def check_counts(given: object, *names: str) -> None:
    """Raise ``ValueError`` where an attribute of ``given`` is no count from 1 up."""
    for name in names:
        value = getattr(given, name)
        if value < 1:
            raise ValueError(f"launcher.{name}={value}; give 1 or more")
