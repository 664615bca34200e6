"""Cross the ``choices`` of a study: one condition for each universe, or for those listed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from losslab.parsing import Strict, parse
from losslab.text import nearest


@dataclass(frozen=True, kw_only=True)
class LevelSpec(Strict):
    """An entry under one of a study's ``choices``."""

    overrides: list[str]
    times: float | dict[str, float] = 1.0  # factor on the grid of all arms, or by arm


def cross(
    choices: Any, arms: Mapping[str, Any], listed: Sequence[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Return a study's conditions: all combinations of one level of each choice.

    The grid of an arm is multiplied by the factors of the levels and rounded to two significant
    digits.

    Args:
        choices: Choice to levels, each a name and a :class:`LevelSpec`; the first is the usual one.
        arms: Name to arm, with its grid.
        listed: Only these universes, such as ``"010"``: one digit per choice, the number of its
            level from 0. This allows a balanced fraction of a large cross.

    Raises:
        ValueError: Unknown levels or universes, or an arm without a grid.

    >>> batch = {"small": {"overrides": ["trainer.batch_size=32"]},
    ...          "large": {"overrides": ["trainer.batch_size=256"], "times": 2.0}}
    >>> cross({"batch": batch}, {"mse": {"values": [0.1]}}, ["1"])["large"]["values"]
    {'mse': [0.2]}
    """
    parsed = parse(dict[str, dict[str, LevelSpec]], choices, "study.choices")
    for choice, levels in parsed.items():
        for level, spec in levels.items():
            for arm in set(spec.times) - set(arms) if isinstance(spec.times, dict) else ():
                known = f"{nearest(arm, arms)}; the arms are {', '.join(arms)}"
                raise ValueError(f"study.choices.{choice}.{level}.times names {arm!r}{known}")
    for name, arm in arms.items():
        if not arm.get("values"):
            missing = f"study.arms.{name}.values is missing"
            raise ValueError(f"{missing}; give the grid that the choices rescale")
    digits = product(*(map(str, range(len(levels))) for levels in parsed.values()))
    universes = dict(zip(map("".join, digits), product(*parsed.values()), strict=True))
    if unknown := [code for code in listed or () if code not in universes]:
        rule = f"give {len(parsed)} digits, the levels of {', '.join(parsed)}, each counted from 0"
        raise ValueError(f"study.universes has {unknown[0]!r}; {rule}")
    return {
        "-".join(levels): _condition(dict(zip(parsed, levels, strict=True)), parsed, arms)
        for code, levels in universes.items()
        if listed is None or code in listed
    }


def _condition(
    chosen: dict[str, str], parsed: Mapping[str, Mapping[str, LevelSpec]], arms: Mapping[str, Any]
) -> dict[str, Any]:
    levels = [parsed[choice][level] for choice, level in chosen.items()]

    def factor(arm: str) -> float:
        times = (level.times for level in levels)
        return prod(t.get(arm, 1.0) if isinstance(t, dict) else t for t in times)

    return {
        "label": ", ".join(chosen.values()).replace("_", " "),
        "overrides": [text for level in levels for text in level.overrides],
        "values": {
            name: [float(f"{value * factor(name):.2g}") for value in arm["values"]]
            for name, arm in arms.items()
        },
        "choices": chosen,
    }
