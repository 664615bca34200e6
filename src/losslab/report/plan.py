"""What a study set out to do: one plan, checked once, written to ``study.json`` and read back."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from losslab.files import read_json
from losslab.parsing import Strict, parse
from losslab.report.selectors import split
from losslab.report.statistics import Interval
from losslab.text import nearest, printable_values

PLAN_FILE = "study.json"
EVIDENCE_FILE = "evidence.json"

Rate = Literal["own", "reference", "scaled"]
"""At which value an arm is confirmed: its ``own`` chosen one, that of the ``reference``, or the
reference's ``scaled`` by the arm's factor."""

Direction = Literal["less", "greater", "equal"]


@dataclass(frozen=True)
class Arm:
    """One of the things compared, usually a loss."""

    label: str  # what people read
    loss: str  # the config name of its loss, which decides its colour; the arm's own name if absent
    condition: str = ""  # under which it is trained; empty in a study that has no conditions


@dataclass(frozen=True)
class Condition(Strict):
    """One value of a study's second axis, such as a number of classes."""

    label: str  # what people read
    # on the axis; ``None`` where conditions have no order but that of the plan
    position: float | None = None
    choices: Mapping[str, str] | None = None  # of a universe: the level of each choice
    select: str = ""  # the tag that chooses values under it; empty for the plan's


@dataclass(frozen=True)
class PlannedRun:
    """A run of an arm: of its tuning grid, or on a fresh seed at one of its rates."""

    arm: str  # its name
    value: float  # of the tuned parameter
    seed: int  # of the run
    run: str  # ``<group>/seed=<n>``, below the study's folder
    rate: Rate | None = None  # ``None`` for a run of the grid


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
    source: str  # who says so
    # the tag compared, or ``<tag>@<selector>``; empty for a claim about a quantity
    metric: str = ""
    left: Side | None = None  # the side that the statement is about
    right: Side | None = None  # what it is compared with
    # two more sides: then the effect is how much the first difference exceeds theirs
    beyond: Pair | None = None
    direction: Direction | None = None  # of the difference as predicted
    # the smallest difference that matters, positive, in the metric's own unit (accuracies as
    # fractions)
    smallest_effect: float = 0.0
    quantity: str = ""  # ``<measure>.<quantity>``; empty for a claim about a difference
    # lower end of the range predicted for the quantity, ``None`` for none
    at_least: float | None = None
    at_most: float | None = None  # upper end likewise
    discussion: str = ""  # what a reader should take from it, such as the right formula

    def __post_init__(self) -> None:
        for fault in self._faults():
            raise ValueError(fault)

    def _faults(self) -> Iterator[str]:
        if self.quantity:
            if self.at_least is None and self.at_most is None:
                yield f"claim {self.id} predicts nothing; give at_least, at_most or both"
            return
        for name in ("metric", "left", "right", "direction"):
            if not getattr(self, name):
                yield f"claim {self.id} has no {name}; give it one, or a quantity"
        split(self.metric)
        if not 0 < self.smallest_effect < math.inf:
            rule = "give a positive number, the smallest difference that matters"
            yield f"claim {self.id}: smallest_effect={self.smallest_effect}; {rule}"

    @property
    def sides(self) -> tuple[Side, ...]:
        """All sides that it is about; none for a claim about a quantity."""
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
    """Arms at all combinations of factors, and so the gap between all switched and none."""

    label: str  # what people read
    factors: dict[str, str]  # name, in quantities, to what people read
    # arms in the order of binary numbers: bit i of the place says whether factor i is switched
    cells: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.cells) != 2 ** len(self.factors) or not self.factors:
            raise ValueError(
                f"{len(self.factors)} factors with {len(self.cells)} cells; give one factor or "
                "more, and an arm for every combination of them"
            )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study: its grid, what was chosen, what confirms it, and its claims."""

    study: str  # its name, that of its folder
    title: str = ""  # of the report
    question: str = ""  # what it answers
    command: str = ""  # that made it
    # name to arm, in the order of display; ``<arm>@<condition>`` where there are conditions; none
    # in a study of quantities alone
    arms: Mapping[str, Arm] = field(default_factory=dict)
    axis: str = ""  # what the conditions vary; empty without any
    # name to condition, in the order of display
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    # name to levels of what differs between conditions that are universes, the usual level first
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # the arm (without condition) whose chosen value the others are also trained at
    reference: str = ""
    parameter: str = ""  # the config key that the grid varies, such as ``optimizer.lr``
    values: tuple[float, ...] = ()  # the grid, ascending
    select: str = ""  # the validation accuracy's tag, by whose mean the value is chosen
    # the values that arms are confirmed at, in the order of display
    rates: tuple[Rate, ...] = ("reference", "own")
    tune: tuple[PlannedRun, ...] = ()  # the grid's runs
    # arm to chosen value; arms not yet chosen are absent
    chosen: Mapping[str, float] = field(default_factory=dict)
    confirm: tuple[PlannedRun, ...] = ()  # the runs that are compared
    runs: tuple[str, ...] = ()  # names of the runs of all sets that only measures use
    claims: tuple[Claim, ...] = ()  # in the order of display
    factorials: Mapping[str, Factorial] = field(default_factory=dict)  # by name

    def __post_init__(self) -> None:
        for fault in self._faults():
            raise ValueError(fault)

    def _faults(self) -> Iterator[str]:
        ids = [claim.id for claim in self.claims]
        for name in (name for name in ids if ids.count(name) > 1):
            yield f"two claims are called {name}; give each a different id"
        named = [run.arm for run in (*self.tune, *self.confirm)]
        named += [side.arm for claim in self.claims for side in claim.sides]
        named += [arm for factorial in self.factorials.values() for arm in factorial.cells]
        if self.arms:
            named += [in_condition(self.reference, name) for name in self.conditions or ("",)]
            for name in ("reference", "parameter", "values"):
                if not getattr(self, name):
                    yield f"the plan has no {name!r}; run the study again"
            own = [about.select for about in self.conditions.values() if about.select]
            for select in (
                select for select in (self.select, *own) if not select.endswith("/accuracy")
            ):
                # The highest is chosen: right for accuracies, silently wrong for a loss.
                yield f"select={select!r}; give an accuracy, such as val/accuracy"
        if unknown := sorted(set(named) - set(self.arms)):
            names = f"{', '.join(unknown)}{nearest(unknown[0], self.arms)}"
            yield f"the plan names {names}; its arms are {', '.join(self.arms)}"
        for claim in self.claims:
            for side in claim.sides:
                if side.rate not in self.rates and side.arm != self.reference_of(side.arm):
                    rule = f"at which no arm is confirmed; give one of {', '.join(self.rates)}"
                    yield f"claim {claim.id}: rate={side.rate}, {rule}"

    @property
    def parameter_name(self) -> str:
        """The parameter as people call it."""
        return parameter_name(self.parameter)

    @property
    def families(self) -> dict[str, Arm]:
        """The arms without their conditions, in the order of display."""
        return {name.partition("@")[0]: arm for name, arm in self.arms.items()}

    @property
    def reference_label(self) -> str:
        """What people read for the reference."""
        return self.families[self.reference.partition("@")[0]].label

    def confirming(self, side: Side) -> list[PlannedRun]:
        """Return a side's runs by seed; for the reference arm all rates are one."""
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
        """The tag that chooses, or the validation accuracy for all where conditions differ."""
        tags = set(map(self.select_of, self.arms))
        return tags.pop() if len(tags) == 1 else "val/accuracy"

    def label(self, arm: str) -> str:
        """Return what people read for an arm, with its condition if it has one."""
        about = self.arms[arm]
        if not about.condition:
            return about.label
        return f"{about.label}, {self.conditions[about.condition].label}"

    def under(self, condition: str) -> dict[str, Arm]:
        """Return the arms under one condition."""
        return {name: arm for name, arm in self.arms.items() if arm.condition == condition}

    def expected(self) -> list[str]:
        """Return the names of all runs planned so far, sorted, each once."""
        return sorted({run.run for run in (*self.tune, *self.confirm)} | set(self.runs))

    def to_json(self) -> dict[str, Any]:
        """Return what ``study.json`` holds, which :func:`parse_plan` turns back into the plan."""
        data = asdict(self)
        defaults = {part.name: part.default for part in fields(Claim)}
        data["claims"] = [
            {key: value for key, value in claim.items() if value != defaults[key]}
            for claim in data["claims"]
        ]
        return data


def parameter_name(key: str) -> str:
    """Return what people call a tuned key."""
    return "learning rate" if key == "optimizer.lr" else key


def in_condition(arm: str, condition: str) -> str:
    """Return an arm's name under a condition, ``mse@two_classes``, or ``mse`` without any."""
    return f"{arm}@{condition}" if condition else arm


def load_plan(root: Path) -> Plan:
    """Read the plan of a study's folder; ``ValueError`` without one that can be understood."""
    path = root / PLAN_FILE
    try:
        data = printable_values(read_json(path))  # names may control a terminal
    except ValueError as error:
        raise ValueError(f"{path}: no readable plan ({error}); run the study again") from None
    try:
        return parse_plan(data)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def parse_plan(data: Mapping[str, Any]) -> Plan:
    """Turn the content of ``study.json`` into a plan; ``ValueError`` for what is not allowed."""
    arms = data.get("arms", {})
    if isinstance(arms, Mapping) and all(isinstance(about, Mapping) for about in arms.values()):
        arms = {
            name: {"label": name, "loss": family, **about, "condition": condition}
            for name, about in arms.items()
            for family, _, condition in [name.partition("@")]
        }
    command = f"losslab study {data.get('study')}"
    return parse(Plan, {"title": data.get("study"), "command": command, **data, "arms": arms})
