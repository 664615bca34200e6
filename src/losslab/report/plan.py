"""What a study set out to do, as ``losslab study`` wrote it to ``study.json``."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

Rate = Literal["own", "reference"]
Direction = Literal["less", "greater", "equal"]

PLAN_FILE = "study.json"


@dataclass(frozen=True)
class Arm:
    """One of the things compared, usually a loss.

    Attributes:
        label: What people read.
        loss: The config name of its loss, which decides its colour; the arm's own name if absent.
    """

    label: str
    loss: str


@dataclass(frozen=True)
class TuningRun:
    """A run of the grid: ``run`` is ``<group>/seed=<n>`` below the study's folder."""

    arm: str
    value: float
    seed: int
    run: str


@dataclass(frozen=True)
class ConfirmingRun:
    """A run on a fresh seed, at the arm's own chosen value or at the reference's."""

    arm: str
    rate: Rate
    value: float
    seed: int
    run: str


@dataclass(frozen=True)
class Side:
    """One side of a claim: an arm, trained at its own chosen value or at the reference's."""

    arm: str
    rate: Rate


@dataclass(frozen=True)
class Claim:
    """A statement that a measurement can support or contradict.

    Attributes:
        id: Unique in its study.
        statement: One sentence.
        source: Who says so.
        metric: The tag compared, such as ``test/accuracy``.
        left: The side that the statement is about.
        right: What it is compared with.
        direction: Of ``left - right`` as predicted: ``less``, ``greater`` or ``equal``.
        smallest_effect: The smallest difference that matters, positive, in the metric's own unit
            (accuracies as fractions).
    """

    id: str
    statement: str
    source: str
    metric: str
    left: Side
    right: Side
    direction: Direction
    smallest_effect: float


@dataclass(frozen=True)
class Plan:
    """A study: its grid, what was chosen, what confirms it, and its claims.

    Attributes:
        arms: Name to arm, in the order of display.
        reference: The arm whose chosen value the others are also trained at.
        parameter: The config key that the grid varies, such as ``optimizer.lr``.
        values: The grid, ascending.
        select: The validation accuracy's tag, by whose mean the value is chosen.
        chosen: Arm to chosen value; arms not yet chosen are absent.
    """

    study: str
    title: str
    question: str
    command: str
    arms: Mapping[str, Arm]
    reference: str
    parameter: str
    values: tuple[float, ...]
    select: str
    tune: tuple[TuningRun, ...]
    chosen: Mapping[str, float]
    confirm: tuple[ConfirmingRun, ...]
    claims: tuple[Claim, ...]

    @property
    def parameter_name(self) -> str:
        """The parameter as people call it."""
        return "learning rate" if self.parameter == "optimizer.lr" else self.parameter

    def confirming(self, side: Side) -> list[ConfirmingRun]:
        """Return a side's runs by seed; for the reference arm the two rates are one."""
        rates = {side.rate} if side.arm != self.reference else set(get_args(Rate))
        runs = {run.seed: run for run in self.confirm if run.arm == side.arm and run.rate in rates}
        return [runs[seed] for seed in sorted(runs)]

    def expected(self) -> list[str]:
        """Return the names of all runs planned so far, sorted, each once."""
        return sorted({run.run for run in self.tune} | {run.run for run in self.confirm})


def load_plan(root: Path) -> Plan:
    """Read the plan of a study's folder.

    Raises:
        ValueError: No ``study.json``, or one that cannot be understood.
    """
    path = root / PLAN_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
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
            name: Arm(label=arm.get("label", name), loss=arm.get("loss", name))
            for name, arm in data["arms"].items()
        }
        plan = Plan(
            study=data["study"],
            title=data.get("title", data["study"]),
            question=data.get("question", ""),
            command=data.get("command", f"losslab study {data['study']}"),
            arms=arms,
            reference=data["reference"],
            parameter=data["parameter"],
            values=tuple(sorted(float(value) for value in data["values"])),
            select=data["select"],
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
        )
    except KeyError as error:
        raise ValueError(f"the plan has no {error}; run the study again") from None
    except (AttributeError, TypeError) as error:
        raise ValueError(f"the plan is not what a study writes ({error})") from None
    _check(plan)
    return plan


def _claim(data: Mapping[str, Any]) -> Claim:
    sides = {
        name: Side(data[name]["arm"], _one_of(Rate, data[name]["rate"], "rate"))
        for name in ("left", "right")
    }
    claim = Claim(
        id=data["id"],
        statement=data["statement"],
        source=data["source"],
        metric=data["metric"],
        direction=_one_of(Direction, data["direction"], "direction"),
        smallest_effect=float(data["smallest_effect"]),
        **sides,
    )
    if not 0 < claim.smallest_effect < math.inf:
        raise ValueError(
            f"claim {claim.id}: smallest_effect={claim.smallest_effect}; give a positive number, "
            "the smallest difference that matters"
        )
    return claim


def _one_of(literal: Any, value: object, name: str) -> Any:
    allowed = get_args(literal)
    if value not in allowed:
        raise ValueError(f"{name}={value!r}; give one of {', '.join(allowed)}")
    return value


def _check(plan: Plan) -> None:
    named = [plan.reference, *(run.arm for run in plan.tune), *(run.arm for run in plan.confirm)]
    named += [side.arm for claim in plan.claims for side in (claim.left, claim.right)]
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
