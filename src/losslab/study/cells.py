"""The cells of a study: every arm under every condition."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from losslab.recording import Run, locate
from losslab.report.parsing import Strict
from losslab.study.points import Points


@dataclass(frozen=True, kw_only=True)
class ArmSpec(Strict):
    """An entry under ``arms`` of a study."""

    label: str  # what people read
    overrides: list[str]  # that make it
    loss: str | None = None  # whose colour it has; the arm's name if not given
    values: list[float] | None = None  # a grid of its own
    scale: float | None = None  # also confirmed at the reference's best value times this
    start: str | None = None  # an arm from whose final weights it starts, seed by seed


@dataclass(frozen=True, kw_only=True)
class ConditionSpec(Strict):
    """An entry under ``conditions`` of a study."""

    label: str  # what people read
    overrides: list[str]  # that make it
    position: float | None = None  # on the axis
    # a grid for all arms, or one an arm
    values: list[float] | dict[str, list[float]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class SetSpec(Strict):
    """An entry under ``runs`` of a study: runs that only measures use."""

    seeds: list[int]
    overrides: list[str] = field(default_factory=list)
    grid: dict[str, list[Any]] = field(default_factory=dict)  # key to values


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One arm under one condition."""

    name: str  # ``<arm>@<condition>``, or the arm alone in a study without conditions
    label: str  # the arm's
    loss: str  # whose colour it has
    reference: str  # the cell of the reference arm under the same condition
    values: list[float]  # the grid
    scale: float | None  # of the reference's value, for a third comparison; ``None`` for none
    start: str | None  # the cell from whose weights it starts; ``None`` for random ones
    points: Points  # its runs
    root: Path  # the study's folder

    def run(self, parameter: str, value: float, seed: int, *, start: str | None) -> Run:
        """Return one run; ``start`` is the run that it starts from, below the study's folder."""
        values: dict[str, Any] = {parameter: value}
        if start is not None:
            group, name = start.split("/")
            folder = locate(locate(self.root, group), name).parent
            # The same text for all seeds, so that TensorBoard's table has one row for them.
            name = "seed=${seed}" if name == f"seed={seed}" else name
            values["init_from"] = f"{folder}/{name}"
        return self.points.run(values, seed)


def grid_of(arm: str, about: ArmSpec, under: ConditionSpec | None) -> list[float] | None:
    """Return an arm's grid under a condition: the one for both, the arm's, or the condition's."""
    there = under.values if under else []
    if isinstance(there, Mapping):
        return there.get(arm) or about.values
    return about.values or there or None


def check_arms(arms: Mapping[str, ArmSpec], conditions: Mapping[str, ConditionSpec]) -> None:
    """Raise ``ValueError`` for an unknown start, or a name that contains ``@``."""
    for name, arm in arms.items():
        starts = [other for other, about in arms.items() if about.start is None and other != name]
        if arm.start is not None and arm.start not in starts:
            raise ValueError(
                f"study.arms.{name}.start={arm.start}; give an arm that starts from random "
                f"weights: {', '.join(starts)}"
            )
    for kind, names in (("arms", arms), ("conditions", conditions)):
        for name in names:
            if "@" in name:
                raise ValueError(f"study.{kind}.{name}: give a name without @")
