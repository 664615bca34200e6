"""The cells of a study: every arm under every condition."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from losslab.recording import locate
from losslab.study.points import Point, Points

Nodes = Mapping[str, Mapping[str, Any]]

_ARM = ({"label", "overrides"}, {"loss", "values", "scale", "start"})
_CONDITION = ({"label", "overrides"}, {"position", "values"})


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

    def point(self, parameter: str, value: float, seed: int, *, start: str | None) -> Point:
        """Return one run; ``start`` is the run that it starts from, below the study's folder."""
        values: dict[str, Any] = {parameter: value}
        if start is not None:
            group, name = start.split("/")
            folder = locate(locate(self.root, group), name).parent
            # In the words that all seeds share: TensorBoard's table makes one row of them.
            name = "seed=${seed}" if name == f"seed={seed}" else name
            values["init_from"] = f"{folder}/{name}"
        return self.points.point(values, seed)


def grid_of(
    arm: str, about: Mapping[str, Any], under: Mapping[str, Any], values: list[float]
) -> list[float]:
    """Return the grid of an arm under a condition: its own there, its own, or that of all."""
    given = under.get("values", [])
    there = given.get(arm) if isinstance(given, Mapping) else None
    every = None if isinstance(given, Mapping) else given
    return list(there or about.get("values") or every or values)


def check_arms(arms: Nodes) -> None:
    """Raise ``ValueError`` for an arm with a key too few or too many, or an unknown start."""
    _check("arms", arms, *_ARM)
    for name, arm in arms.items():
        start = arm.get("start")
        if start is not None and (start not in arms or "start" in arms[start] or start == name):
            raise ValueError(
                f"study.arms.{name}.start={start}; give an arm that starts from random weights: "
                f"{', '.join(n for n, a in arms.items() if 'start' not in a)}"
            )


def check_conditions(conditions: Nodes) -> None:
    """Raise ``ValueError`` for a condition with a key too few or too many."""
    _check("conditions", conditions, *_CONDITION)


def _check(kind: str, nodes: Nodes, needed: set[str], optional: set[str]) -> None:
    for name, node in nodes.items():
        keys = set(node)
        if not needed <= keys <= needed | optional or not isinstance(node["overrides"], list):
            raise ValueError(
                f"study.{kind}.{name}={node}; give it {' and '.join(sorted(needed))} (a list), "
                f"optionally {', '.join(sorted(optional))}, no more"
            )
        if "@" in name:
            raise ValueError(f"study.{kind}.{name}: give it a name without @")
