"""What a launcher is, and what it needs that may not be installed."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from losslab.experiment import Job
from losslab.recording import RunDirectory


@dataclass(frozen=True)
class Failed:
    """A run that did not end.

    Attributes:
        directory: Its folder; the log in it has the traceback.
        reason: In one line.
    """

    directory: RunDirectory
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
    def launch(self, jobs: Sequence[Job]) -> Sequence[str | None]:
        """Do all jobs, at least one, and return what each returned.

        Raises:
            LauncherError: Workers ended before their runs did.
        """


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
