"""``study.json``: a study's plan as ``losslab study`` wrote it, checked while it is read."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from losslab.files import read_json
from losslab.report.plan import (
    Arm,
    Claim,
    Condition,
    ConfirmingRun,
    Direction,
    Plan,
    Rate,
    Side,
    Step,
    TuningRun,
    in_condition,
)
from losslab.text import printable_values

RATES: tuple[Rate, ...] = ("reference", "own")
PLAN_FILE = "study.json"


def load_plan(root: Path) -> Plan:
    """Read the plan of a study's folder.

    Raises:
        ValueError: No ``study.json``, or one that cannot be understood.
    """
    path = root / PLAN_FILE
    try:
        data = printable_values(read_json(path))
    except ValueError as error:
        raise ValueError(f"{path}: no readable plan ({error}); run the study again") from None
    try:
        return parse_plan(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def parse_plan(data: Mapping[str, Any]) -> Plan:
    """Turn the content of ``study.json`` into a plan.

    Raises:
        ValueError: A key is missing, or a value is not among those allowed.
    """
    try:
        arms = {
            name: Arm(
                label=arm.get("label", name),
                loss=arm.get("loss", name.partition("@")[0]),
                condition=name.partition("@")[2],
            )
            for name, arm in data["arms"].items()
        }
        plan = Plan(
            study=data["study"],
            title=data.get("title", data["study"]),
            question=data.get("question", ""),
            command=data.get("command", f"losslab study {data['study']}"),
            arms=arms,
            axis=data.get("axis", ""),
            conditions={
                name: Condition(label=about["label"], position=about.get("position"))
                for name, about in data.get("conditions", {}).items()
            },
            reference=data["reference"],
            parameter=data["parameter"],
            values=tuple(sorted(float(value) for value in data["values"])),
            select=data["select"],
            rates=tuple(_one_of(Rate, rate, "rate") for rate in data.get("rates", RATES)),
            tune=tuple(
                TuningRun(run["arm"], float(run["value"]), int(run["seed"]), run["run"])
                for run in data["tune"]
            ),
            chosen={arm: float(value) for arm, value in data.get("chosen", {}).items()},
            confirm=tuple(
                ConfirmingRun(
                    run["arm"],
                    _one_of(Rate, run["rate"], "rate"),
                    float(run["value"]),
                    int(run["seed"]),
                    run["run"],
                )
                for run in data.get("confirm", [])
            ),
            claims=tuple(_claim(claim) for claim in data.get("claims", [])),
            steps=tuple(Step(step["label"], _side(step)) for step in data.get("steps", [])),
        )
        _check(plan)
    except KeyError as error:
        raise ValueError(f"the plan has no {error}; run the study again") from None
    except (AttributeError, TypeError, OverflowError) as error:
        raise ValueError(f"the plan is not what a study writes ({error})") from None
    return plan


def _claim(data: Mapping[str, Any]) -> Claim:
    beyond = data.get("beyond")
    claim = Claim(
        id=data["id"],
        statement=data["statement"],
        source=data["source"],
        metric=data["metric"],
        direction=_one_of(Direction, data["direction"], "direction"),
        smallest_effect=float(data["smallest_effect"]),
        left=_side(data["left"]),
        right=_side(data["right"]),
        beyond=None if beyond is None else (_side(beyond["left"]), _side(beyond["right"])),
    )
    if not 0 < claim.smallest_effect < math.inf:
        raise ValueError(
            f"claim {claim.id}: smallest_effect={claim.smallest_effect}; give a positive number, "
            "the smallest difference that matters"
        )
    return claim


def _side(data: Mapping[str, Any]) -> Side:
    return Side(data["arm"], _one_of(Rate, data["rate"], "rate"))


def _one_of(literal: Any, value: object, name: str) -> Any:
    allowed = get_args(literal)
    if value not in allowed:
        raise ValueError(f"{name}={value!r}; give one of {', '.join(allowed)}")
    return value


def _check(plan: Plan) -> None:
    named = [in_condition(plan.reference, condition) for condition in plan.conditions or ("",)]
    named += [run.arm for run in plan.tune]
    named += [run.arm for run in plan.confirm]
    named += [side.arm for claim in plan.claims for side in claim.sides]
    named += [step.side.arm for step in plan.steps]
    unknown = sorted(set(named) - set(plan.arms))
    if unknown:
        raise ValueError(
            f"the plan names {', '.join(unknown)}; its arms are {', '.join(plan.arms)}"
        )
    if not plan.select.endswith("/accuracy"):
        # The highest is chosen: right for accuracies, silently wrong for anything like a loss.
        raise ValueError(f"select={plan.select!r}; give an accuracy, such as val/accuracy")
    ids = [claim.id for claim in plan.claims]
    if len(ids) != len(set(ids)):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise ValueError(f"two claims are called {twice}; give each an id of its own")
