"""The plan of a study: checked once, written to ``study.json`` and read back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from losslab.files import read_json
from losslab.metrics import RANGES
from losslab.parsing import Strict, parse
from losslab.report.selectors import split
from losslab.report.statistics import Interval
from losslab.text import nearest, printable_values

PLAN_FILE = "study.json"
EVIDENCE_FILE = "evidence.json"

Rate = Literal["own", "reference", "scaled"]
"""The value at which an arm is confirmed: its ``own`` chosen one, that of the ``reference``, or the
reference's ``scaled`` by the arm's factor."""

Direction = Literal["less", "greater", "equal"]


@dataclass(frozen=True)
class Arm:
    """One of the configurations compared, usually a loss."""

    label: str  # shown in reports
    loss: str  # the config name of its loss, which decides its colour
    condition: str = ""  # under which it is trained; empty in a study without conditions


@dataclass(frozen=True)
class Condition(Strict):
    """One value of a study's second axis, such as a number of classes."""

    label: str  # shown in reports
    position: float | None = None  # on the axis; ``None`` if conditions are in plan order
    choices: Mapping[str, str] | None = None  # for a universe, the level of each choice
    select: str = ""  # the tag by which values are chosen; by default the plan's


@dataclass(frozen=True)
class PlannedRun:
    """A tuning or confirming run of an arm."""

    arm: str  # its name
    value: float  # of the tuned parameter
    seed: int  # of the run
    run: str  # ``<group>/seed=<n>``, below the study's folder
    rate: Rate | None = None  # ``None`` for a tuning run


@dataclass(frozen=True)
class Side(Strict):
    """One side of a difference: an arm (``<arm>@<condition>`` under conditions) at a rate."""

    arm: str
    rate: Rate


@dataclass(frozen=True)
class Pair(Strict):
    """Two sides that are compared."""

    left: Side
    right: Side


@dataclass(frozen=True, kw_only=True)
class Claim(Strict):
    """A predicted range for one number: a difference of two sides, or a measure's quantity."""

    id: str  # unique in its study
    statement: str  # one sentence
    source: str  # a citation
    # for a difference:
    metric: str = ""  # ``<tag>`` or ``<tag>@<selector>``
    left: Side | None = None  # the side that the statement is about
    right: Side | None = None  # what it is compared with
    beyond: Pair | None = None  # if given, its difference is subtracted from the other
    direction: Direction | None = None  # predicted for the difference
    smallest_effect: float = 0.0  # that matters, positive; accuracies as fractions
    # for a quantity:
    quantity: str = ""  # ``<measure>.<quantity>``
    at_least: float | None = None  # the predicted range
    at_most: float | None = None
    discussion: str = ""  # what follows from it, such as the right formula

    def __post_init__(self) -> None:
        if fault := self._fault_of_quantity() if self.quantity else self._fault_of_difference():
            raise ValueError(f"claim {self.id}{fault}")

    def _fault_of_quantity(self) -> str:
        for name in ("metric", "left", "right", "beyond", "direction", "smallest_effect"):
            if getattr(self, name):
                return f" has a quantity and {name}, which is for differences; give one of the two"
        if self.at_least is None and self.at_most is None:
            return " predicts nothing; give at_least, at_most or both"
        low, high = self.predicted
        if not low <= high:  # false for NaN, too
            return f": at_least={low}, at_most={high}; give numbers, the smaller one first"
        return ""

    def _fault_of_difference(self) -> str:
        for name in ("metric", "left", "right", "direction"):
            if not getattr(self, name):
                return f" has no {name}; give it one, or a quantity"
        for name in ("at_least", "at_most"):
            if getattr(self, name) is not None:
                return f" has {name}, which is for quantities; leave it out"
        measure = split(self.metric)[0].rpartition("/")[2]
        for left, right in zip(self.sides[::2], self.sides[1::2], strict=True):
            if left == right:
                return f" compares {left.arm} at {left.rate} with itself; give two different sides"
        effect = f": smallest_effect={self.smallest_effect}"
        if not 0 < self.smallest_effect < math.inf:
            return f"{effect}; give a positive number, the smallest difference that matters"
        if RANGES.get(measure, (0.0, 0.0))[1] == 1 and self.smallest_effect >= 1:
            return f"{effect}; give less than 1: accuracies are fractions, and 0.01 is a point"
        return ""

    @property
    def sides(self) -> tuple[Side, ...]:
        """Its two or four sides; none for a claim about a quantity."""
        beyond = (self.beyond.left, self.beyond.right) if self.beyond else ()
        return tuple(side for side in (self.left, self.right, *beyond) if side)

    @property
    def signed(self) -> bool:
        """Whether it predicts the sign of a difference."""
        return not self.quantity and self.direction != "equal"

    @property
    def predicted(self) -> Interval:
        """The range in which it predicts the number."""
        if self.quantity:
            low, high = self.at_least, self.at_most
            return Interval(-math.inf if low is None else low, math.inf if high is None else high)
        effect = self.smallest_effect
        low = effect if self.direction == "greater" else -math.inf
        high = -effect if self.direction == "less" else math.inf
        return Interval(-effect, effect) if self.direction == "equal" else Interval(low, high)


@dataclass(frozen=True, kw_only=True)
class Factorial(Strict):
    """Arms at all combinations of factors; the gap is between all factors switched and none."""

    label: str  # shown in reports
    factors: dict[str, str]  # name to label
    cells: tuple[str, ...]  # arms in binary order: bit i of the index switches factor i

    def __post_init__(self) -> None:
        if len(self.cells) != 2 ** len(self.factors) or not self.factors:
            raise ValueError(
                f"{len(self.factors)} factors with {len(self.cells)} cells; give one factor or "
                "more, and an arm for every combination of them"
            )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study: tuning runs, chosen values, confirming runs and claims.

    Mappings and sequences are in the order of display.
    """

    study: str  # the name of its folder
    title: str = ""  # of the report
    question: str = ""
    command: str = ""  # that made it
    # by name, which is ``<arm>@<condition>`` under conditions; empty in a study of quantities alone
    arms: Mapping[str, Arm] = field(default_factory=dict)
    axis: str = ""  # what the conditions vary
    conditions: Mapping[str, Condition] = field(default_factory=dict)  # by name
    # for conditions that are universes: choice to levels, the usual level first
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reference: str = ""  # the arm (without condition) whose value the others are also trained at
    parameter: str = ""  # the key that the grid varies, such as ``optimizer.lr``
    values: tuple[float, ...] = ()  # the grid, ascending
    select: str = ""  # tag of the accuracy whose mean over seeds chooses a value
    rates: tuple[Rate, ...] = ("reference", "own")  # at which arms are confirmed
    tune: tuple[PlannedRun, ...] = ()
    chosen: Mapping[str, float] = field(default_factory=dict)  # arm to value; absent until chosen
    # arm to the value that it is given; its tuning runs only show how that compares with others
    given: Mapping[str, float] = field(default_factory=dict)
    confirm: tuple[PlannedRun, ...] = ()
    runs: tuple[str, ...] = ()  # names of runs that only measures use
    claims: tuple[Claim, ...] = ()
    factorials: Mapping[str, Factorial] = field(default_factory=dict)  # by name

    def __post_init__(self) -> None:
        ids = [claim.id for claim in self.claims]
        for name in (name for name in ids if ids.count(name) > 1):
            raise ValueError(f"two claims are called {name}; give each a different id")
        used = [run.arm for run in (*self.tune, *self.confirm)]
        used += [arm for factorial in self.factorials.values() for arm in factorial.cells]
        if self.arms:
            used += [in_condition(self.reference, name) for name in self.conditions or ("",)]
            for name in ("reference", "parameter", "values"):
                if not getattr(self, name):
                    raise ValueError(f"the plan has no {name!r}; run the study again")
            own = filter(None, (condition.select for condition in self.conditions.values()))
            for select in (self.select, *own):
                # The largest value is chosen, which would be silently wrong for a loss.
                if not select.endswith("/accuracy"):
                    raise ValueError(f"select={select!r}; give an accuracy, such as val/accuracy")
        for claim in self.claims:
            for side in claim.sides:
                if side.arm not in self.arms:
                    raise ValueError(f"claim {claim.id} names {self._unknown([side.arm])}")
                if side.rate not in self.rates and side.arm != self.reference_of(side.arm):
                    more = (
                        "give an arm a scale" if side.rate == "scaled" else "add it to confirm_at"
                    )
                    advice = f"give {' or '.join(self.rates)}, or {more}"
                    fault = f"rate={side.rate}, at which no arm is confirmed; {advice}"
                    raise ValueError(f"claim {claim.id}: {fault}")
        if unknown := sorted(set(used) - set(self.arms)):
            raise ValueError(f"the plan names {self._unknown(unknown)}")

    def _unknown(self, arms: Sequence[str]) -> str:
        names = f"{', '.join(arms)}{nearest(arms[0], self.arms)}"
        return f"{names}; the arms are {', '.join(self.arms)}"

    @property
    def parameter_name(self) -> str:
        """The parameter in words."""
        return parameter_name(self.parameter)

    @property
    def families(self) -> dict[str, Arm]:
        """The arms without their conditions, in the order of display."""
        return {name.partition("@")[0]: arm for name, arm in self.arms.items()}

    @property
    def reference_parameter(self) -> str:
        """The reference's value in words, ``cross-entropy’s best learning rate``."""
        best = "" if any(self.reference_of(arm) in self.given for arm in self.arms) else "best "
        return f"{self.reference_label}’s {best}{self.parameter_name}"

    @property
    def reference_label(self) -> str:
        """The label of the reference."""
        return self.families[self.reference.partition("@")[0]].label

    def confirming(self, side: Side) -> list[PlannedRun]:
        """Return a side's runs by seed; the reference arm is the same at all rates."""
        reference = self.reference_of(side.arm)
        rates = {side.rate} if side.arm != reference else set(get_args(Rate))
        runs = {run.seed: run for run in self.confirm if run.arm == side.arm and run.rate in rates}
        return [runs[seed] for seed in sorted(runs)]

    def reference_of(self, arm: str) -> str:
        """Return the arm that is the reference under the same condition."""
        return in_condition(self.reference, self.arms[arm].condition)

    def select_of(self, arm: str) -> str:
        """Return the tag by whose mean over the tuning seeds an arm's value is chosen."""
        condition = self.conditions.get(self.arms[arm].condition)
        return (condition and condition.select) or self.select

    @property
    def common_select(self) -> str:
        """The tag by which all arms choose; the validation accuracy if they differ."""
        tags = set(map(self.select_of, self.arms))
        return tags.pop() if len(tags) == 1 else "val/accuracy"

    def label(self, arm: str) -> str:
        """Return the label of an arm, with that of its condition if it has one."""
        label, condition = self.arms[arm].label, self.conditions.get(self.arms[arm].condition)
        return f"{label}, {condition.label}" if condition else label

    def under(self, condition: str) -> dict[str, Arm]:
        """Return the arms under one condition."""
        return {name: arm for name, arm in self.arms.items() if arm.condition == condition}

    def expected(self) -> list[str]:
        """Return the names of all runs planned so far, sorted and unique."""
        return sorted({run.run for run in (*self.tune, *self.confirm)} | set(self.runs))

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``study.json``, from which :func:`parse_plan` restores the plan."""
        data = asdict(self)
        defaults = {part.name: part.default for part in fields(Claim)}
        data["claims"] = [
            {key: value for key, value in claim.items() if value != defaults[key]}
            for claim in data["claims"]
        ]
        return data


def parameter_name(key: str) -> str:
    """Return a tuned key in words."""
    return "learning rate" if key == "optimizer.lr" else key


def in_condition(arm: str, condition: str) -> str:
    """Return an arm's name under a condition, ``mse@two_classes``, or ``mse`` without any."""
    return f"{arm}@{condition}" if condition else arm


def load_plan(root: Path) -> Plan:
    """Load the plan of a study's folder; ``ValueError`` if it is missing or invalid."""
    path = root / PLAN_FILE
    try:
        data = printable_values(read_json(path))  # names might hold terminal control codes
    except ValueError as error:
        raise ValueError(f"{path}: no readable plan ({error}); run the study again") from None
    try:
        return parse_plan(data)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def parse_plan(data: Mapping[str, Any]) -> Plan:
    """Turn the content of ``study.json`` into a plan; ``ValueError`` if it is invalid."""
    arms = data.get("arms", {})
    if isinstance(arms, Mapping) and all(isinstance(arm, Mapping) for arm in arms.values()):
        arms = {
            name: {"label": name, "loss": family, **arm, "condition": condition}
            for name, arm in arms.items()
            for family, _, condition in [name.partition("@")]
        }
    command = f"losslab study {data.get('study')}"
    return parse(Plan, {"title": data.get("study"), "command": command, **data, "arms": arms})
