"""The interface of a launcher, and checks that all of them share."""

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
    """A run that did not finish.

    Attributes:
        directory: Its folder; the log there has the traceback.
        reason: Why, in one line.
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
    def launch(self, jobs: Sequence[Job]) -> Sequence[str | None]:
        """Do all jobs, at least one, and return what each returned.

        Raises:
            LauncherError: Workers ended before their runs did.
        """


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
