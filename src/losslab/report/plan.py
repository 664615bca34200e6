"""What a study set out to do."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

Rate = Literal["own", "reference", "scaled"]
Direction = Literal["less", "greater", "equal"]


@dataclass(frozen=True)
class Arm:
    """One of the things compared, usually a loss.

    Attributes:
        label: What people read.
        loss: The config name of its loss, which decides its colour; the arm's own name if absent.
        condition: Under which it is trained; empty in a study that has no conditions.
    """

    label: str
    loss: str
    condition: str = ""


@dataclass(frozen=True)
class Condition:
    """One value of a study's second axis, such as a number of classes.

    Attributes:
        label: What people read.
        position: On the axis; ``None`` where conditions have no order but that of the plan.
    """

    label: str
    position: float | None = None


@dataclass(frozen=True)
class TuningRun:
    """A run of the grid: ``run`` is ``<group>/seed=<n>`` below the study's folder."""

    arm: str
    value: float
    seed: int
    run: str


@dataclass(frozen=True)
class ConfirmingRun:
    """A run on a fresh seed, at one of the arm's :data:`Rate` values."""

    arm: str
    rate: Rate
    value: float
    seed: int
    run: str


@dataclass(frozen=True)
class Side:
    """One side of a claim: an arm, trained at one of the values that it is confirmed at.

    Attributes:
        arm: Its name; in a study with conditions ``<arm>@<condition>``.
        rate: ``own``, its own chosen value; ``reference``, that of the reference; ``scaled``, the
            reference's times the arm's ``scale``.
    """

    arm: str
    rate: Rate


@dataclass(frozen=True)
class Claim:
    """A statement that a measurement can support or contradict.

    Attributes:
        id: Unique in its study.
        statement: One sentence.
        source: Who says so.
        metric: The tag compared, such as ``test/accuracy``, and behind an ``@`` what of its course
            is meant, see :data:`losslab.report.load.COURSES`; the final number without one.
        left: The side that the statement is about.
        right: What it is compared with.
        beyond: Two more sides, ``None`` for none: then the effect is how much the first
            difference exceeds theirs, (left − right) − (beyond left − beyond right).
        direction: Of the effect as predicted: ``less``, ``greater`` or ``equal``.
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
    beyond: tuple[Side, Side] | None = None

    @property
    def sides(self) -> tuple[Side, ...]:
        """All sides that it is about."""
        return (self.left, self.right, *(self.beyond or ()))


@dataclass(frozen=True)
class Step:
    """One stop on the way from one side to another.

    Attributes:
        label: What changes from the stop before.
        side: Where it leads.
    """

    label: str
    side: Side


@dataclass(frozen=True)
class Plan:
    """A study: its grid, what was chosen, what confirms it, and its claims.

    Attributes:
        arms: Name to arm, in the order of display; ``<arm>@<condition>`` where there are
            conditions.
        axis: What the conditions vary; empty without any.
        conditions: Name to condition, in the order of display; empty for a study of one table.
        reference: The arm (without condition) whose chosen value the others are also trained at.
        parameter: The config key that the grid varies, such as ``optimizer.lr``.
        values: The grid, ascending.
        select: The validation accuracy's tag, by whose mean the value is chosen.
        rates: The values that arms are confirmed at, in the order of display.
        chosen: Arm to chosen value; arms not yet chosen are absent.
        steps: Of a waterfall, empty for none.
    """

    study: str
    title: str
    question: str
    command: str
    arms: Mapping[str, Arm]
    axis: str
    conditions: Mapping[str, Condition]
    reference: str
    parameter: str
    values: tuple[float, ...]
    select: str
    rates: tuple[Rate, ...]
    tune: tuple[TuningRun, ...]
    chosen: Mapping[str, float]
    confirm: tuple[ConfirmingRun, ...]
    claims: tuple[Claim, ...]
    steps: tuple[Step, ...] = ()

    @property
    def parameter_name(self) -> str:
        """The parameter as people call it."""
        return "learning rate" if self.parameter == "optimizer.lr" else self.parameter

    @property
    def families(self) -> dict[str, Arm]:
        """The arms without their conditions, in the order of display."""
        return {name.partition("@")[0]: arm for name, arm in self.arms.items()}

    @property
    def reference_label(self) -> str:
        """What people read for the reference."""
        return self.families[self.reference.partition("@")[0]].label

    def confirming(self, side: Side) -> list[ConfirmingRun]:
        """Return a side's runs by seed; for the reference arm all rates are one."""
        reference = self.reference_of(side.arm)
        rates = {side.rate} if side.arm != reference else set(get_args(Rate))
        runs = {run.seed: run for run in self.confirm if run.arm == side.arm and run.rate in rates}
        return [runs[seed] for seed in sorted(runs)]

    def reference_of(self, arm: str) -> str:
        """Return the arm that is the reference under the same condition."""
        return in_condition(self.reference, self.arms[arm].condition)

    def label(self, arm: str) -> str:
        """Return what people read for an arm, with its condition if it has one."""
        about = self.arms[arm]
        if not about.condition:
            return about.label
        return f"{about.label}, {self.conditions[about.condition].label}"

    def at(self, condition: str) -> "Plan":
        """Return the part of the study under one condition, as a study without conditions."""
        arms = {
            name: replace(arm, condition="")
            for name, arm in self.arms.items()
            if arm.condition == condition
        }
        return replace(
            self,
            arms=arms,
            axis="",
            conditions={},
            reference=in_condition(self.reference, condition),
            tune=tuple(run for run in self.tune if run.arm in arms),
            chosen={arm: value for arm, value in self.chosen.items() if arm in arms},
            confirm=tuple(run for run in self.confirm if run.arm in arms),
            claims=(),
            steps=(),
        )

    def expected(self) -> list[str]:
        """Return the names of all runs planned so far, sorted, each once."""
        return sorted({run.run for run in self.tune} | {run.run for run in self.confirm})


def in_condition(arm: str, condition: str) -> str:
    """Return an arm's name under a condition.

    >>> in_condition("mse", "two_classes"), in_condition("mse", "")
    ('mse@two_classes', 'mse')
    """
    return f"{arm}@{condition}" if condition else arm
