"""Learning-rate schedules as pure functions of progress; a resumed run needs no state."""

import math
from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[float], float]
"""Maps progress, step / total steps in [0, 1), to a factor on the learning rate."""


@dataclass(frozen=True)
class Constant:
    """A constant learning rate: the factor is always 1."""

    def __call__(self, progress: float) -> float:  # noqa: ARG002
        """Return 1."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Half a cosine from 1 down to ``final``: final + (1 − final)(1 + cos(π·progress))/2.

    Source: Loshchilov & Hutter 2017, without restarts. Equals torch's ``CosineAnnealingLR``.

    >>> Cosine()(0.0), round(Cosine()(0.5), 6)
    (1.0, 0.5)
    """

    final: float = 0.0

    def __post_init__(self) -> None:
        _check_fraction("final", self.final)

    def __call__(self, progress: float) -> float:
        """Return the factor at ``progress`` in [0, 1)."""
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True, kw_only=True)
class OneCycle:
    """From ``initial`` up to 1 during the first ``warmup`` share, then down to ``final``.

    The learning-rate cycle of Smith & Topin 2018, with constant momentum
    (``torch.optim.lr_scheduler.OneCycleLR(cycle_momentum=False)``). Both parts are half a cosine
    (``anneal_strategy="cos"``) or straight lines (``"linear"``).

    >>> schedule = OneCycle(warmup=0.25, initial=0.04, final=0.0)
    >>> schedule(0.0), schedule(0.25)
    (0.04, 1.0)
    """

    warmup: float = 0.3
    initial: float = 0.04
    final: float = 0.0
    anneal_strategy: str = "cos"

    def __post_init__(self) -> None:
        if self.anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"schedule.anneal_strategy={self.anneal_strategy}; give one of cos, linear"
            )
        for name in ("warmup", "initial", "final"):
            _check_fraction(name, getattr(self, name))

    def __call__(self, progress: float) -> float:
        """Return the factor at ``progress`` in [0, 1)."""
        if progress < self.warmup:
            start, end, share = self.initial, 1.0, progress / self.warmup
        else:
            start, end, share = 1.0, self.final, (progress - self.warmup) / (1 - self.warmup)
        is_linear = self.anneal_strategy == "linear"
        weight = 1 - share if is_linear else (1 + math.cos(math.pi * share)) / 2
        return weight * start + (1 - weight) * end


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"schedule.{name}={value}; give a share in [0, 1)")
