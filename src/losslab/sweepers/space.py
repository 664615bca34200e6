"""What is searched and what is compared, in Hydra's syntax of sweeps."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    RangeSweep,
)

from losslab.sweepers.base import Texts, axes, combinations

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_EXAMPLE = "optimizer.lr=tag(log,interval(0.001,1))"


@dataclass(frozen=True)
class Space:
    """The three parts of a search's overrides.

    Attributes:
        searched: Key to where its values are drawn from: ``interval``, ``range``, ``choice``.
        compared: The overrides of each search: single values, and one of every list ``a,b,c``.
        names: What distinguishes each search from the others, e.g. ``loss=mse``.
        seeds: The overrides that give the seeds over which a trial is averaged.
    """

    searched: dict[str, "BaseDistribution"]
    compared: list[Texts]
    names: list[str]
    seeds: Texts


def space_of(overrides: Iterable[Override]) -> Space:
    """Sort overrides into what is searched, what is compared, and the seeds.

    Raises:
        ValueError: Nothing is searched, or something that cannot be searched.
    """
    searched: dict[str, BaseDistribution] = {}
    compared: list[Override] = []
    seeds: Texts = []
    for override in overrides:
        if override.key_or_group == "seed":
            (seeds,) = axes([override])
        elif _is_searched(override):
            searched[override.get_key_element()] = _distribution(override)
        else:
            compared.append(override)
    if not searched:
        raise ValueError(
            "sweeper=optuna: nothing is searched; give an interval(...), range(...) or "
            f"choice(...), such as {_EXAMPLE}"
        )
    listed = [override for override in compared if override.is_sweep_override()]
    names = [", ".join(texts) for texts in combinations(listed)]
    return Space(searched, combinations(compared), names, seeds or ["seed=0"])


def _is_searched(override: Override) -> bool:
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return not value.simple_form  # a,b,c
    return isinstance(value, IntervalSweep | RangeSweep)


def _distribution(override: Override) -> "BaseDistribution":
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    sweep: Any = override.value()
    if not sweep.tags <= {"log"}:
        raise ValueError(f"{override.input_line}: the only tag of a search is log")
    log = "log" in sweep.tags
    try:
        if isinstance(sweep, ChoiceSweep):
            return CategoricalDistribution(list(override.sweep_string_iterator()))
        if isinstance(sweep, IntervalSweep):
            if isinstance(sweep.start, int):  # int(interval(1,8))
                return IntDistribution(sweep.start, int(sweep.end or 0), log=log)
            return FloatDistribution(float(sweep.start or 0), float(sweep.end or 0), log=log)
        values = [*sweep.range()]
        low, high, step = min(values), max(values), abs(sweep.step)
        if isinstance(low, int):
            return IntDistribution(low, high, log=log, step=step)
        return FloatDistribution(
            float(low), float(high), log=log, step=None if log else float(step)
        )
    except ValueError as error:
        raise ValueError(f"{override.input_line}: {' '.join(str(error).split())}") from error
