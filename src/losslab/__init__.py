"""losslab: why does squared error underperform cross-entropy for classification?

Everything is imported when it is first used, so that ``import losslab`` takes no time:

- :func:`train`, :func:`sweep`, :func:`study` and :func:`verify` do what the commands of these names
  do, and :func:`evaluate` and :func:`load_model` use what they trained;
- :func:`load_runs`, :func:`load_curves`, :func:`load_predictions` and :func:`load_study` read
  results as pandas tables;
- :mod:`losses`, :mod:`metrics`, :mod:`models`, :mod:`data`, :mod:`diagnostics` and :mod:`training`
  are usable alone; :func:`losslab.training.fit` is the training loop.

>>> import losslab, torch
>>> losslab.losses.SquaredError()(torch.zeros(1, 2), torch.tensor([0]))  # ((1/2)² + (1/2)²)/2
tensor(0.2500)
"""

import sys

if sys.platform == "win32":
    raise ImportError("losslab runs on Linux and macOS; on Windows, install it in WSL")
if ("-m", __name__) in zip(sys.orig_argv, sys.orig_argv[1:]) and not sys.flags.safe_path:  # noqa: B905
    # The working folder may hold modules of any name; commands that train append it at the end.
    del sys.path[0]

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what is here, for editors and type checkers
    from losslab import data, diagnostics, losses, metrics, models, training
    from losslab.api import (
        Run,
        StudyResult,
        Verification,
        evaluate,
        load_curves,
        load_model,
        load_predictions,
        load_runs,
        load_study,
        study,
        sweep,
        train,
        verify,
    )

__version__ = "0.1.0"

__all__ = [
    "Run",
    "StudyResult",
    "Verification",
    "data",
    "diagnostics",
    "evaluate",
    "load_curves",
    "load_model",
    "load_predictions",
    "load_runs",
    "load_study",
    "losses",
    "metrics",
    "models",
    "study",
    "sweep",
    "train",
    "training",
    "verify",
]

_PACKAGES = ("data", "diagnostics", "losses", "metrics", "models", "study", "training")


def lazily(package: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` (PEP 562) that imports each of a package's names on first use.

    ``names`` map a name to the module that defines it; the module's own name returns the module.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(names[name])
        value = module if names[name] == f"{package}.{name}" else getattr(module, name)
        setattr(import_module(package), name, value)
        return value

    return get


__getattr__ = lazily(
    __name__,
    {name: f"losslab.{name}" if name in _PACKAGES else "losslab.api" for name in __all__},
)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


class StudyPackage(ModuleType):
    """The package ``losslab.study``, which is also the function :func:`losslab.api.study`."""

    def __call__(self, name: str, *words: str, **options: Any) -> "StudyResult":
        """Run a study, see :func:`losslab.api.study`."""
        from losslab.api import study

        return study(name, *words, **options)
