"""A study, ``conf/study/NAME.yaml``: its parts, checked, and the runs it needs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, product
from typing import TYPE_CHECKING, Any, NamedTuple

from omegaconf import DictConfig

from losslab.experiment.arguments import check_arguments
from losslab.parsing import Strict, parse
from losslab.recording import Run, locate
from losslab.report.plan import Arm, Claim, Condition, Factorial, Plan, Rate, in_condition
from losslab.report.shares import SHARES
from losslab.report.universes import UNIVERSES
from losslab.study.session import Session, Template
from losslab.text import nearest

if TYPE_CHECKING:
    from losslab.study.measure import Runs

RATES: tuple[Rate, ...] = ("reference", "scaled", "own")  # in the order of display
CONFIRM_AT: tuple[Rate, ...] = ("own", "reference")


@dataclass(frozen=True, kw_only=True)
class ArmSpec(Strict):
    """An entry under ``arms`` of a study."""

    label: str  # shown in reports
    overrides: list[str]
    values: list[float] | None = None  # its own grid
    # given rather than chosen, and added to the grid, which shows how it compares
    value: float | None = None
    scale: float | None = None  # also confirmed at the reference's best value times this
    start: str | None = None  # the arm whose final weights it starts from, seed by seed


@dataclass(frozen=True, kw_only=True)
class ConditionSpec(Strict):
    """An entry under ``conditions`` of a study."""

    label: str  # shown in reports
    overrides: list[str] | dict[str, list[str]]  # for all arms or by arm
    position: float | None = None  # on the axis
    values: list[float] | dict[str, list[float]] = field(default_factory=list)  # likewise
    choices: dict[str, str] | None = None  # for a universe, the level of each choice
    select: str = ""  # the tag by which values are chosen; by default the study's

    def overrides_of(self, arm: str) -> list[str]:
        """Return the overrides for an arm."""
        return self.overrides if isinstance(self.overrides, list) else self.overrides.get(arm, [])

    def grid_of(self, name: str, arm: ArmSpec) -> list[float] | None:
        """Return an arm's grid: its own for this condition, its own, or the condition's."""
        if isinstance(self.values, dict):
            return self.values.get(name) or arm.values
        return arm.values or self.values


@dataclass(frozen=True, kw_only=True)
class SetSpec(Strict):
    """An entry under ``runs`` of a study: runs that only measures use."""

    seeds: list[int]
    overrides: list[str] = field(default_factory=list)
    grid: dict[str, list[Any]] = field(default_factory=dict)  # key to values


# The types of a study's parts, which are mappings and lists in a configuration.
_PARTS: dict[str, Any] = {
    "arms": dict[str, ArmSpec],
    "conditions": dict[str, ConditionSpec],
    "choices": dict[str, tuple[str, ...]],
    "factorials": dict[str, Factorial],
    "runs": dict[str, SetSpec],
    "claims": list[Claim],
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One arm under one condition."""

    name: str  # ``<arm>@<condition>``, or the arm alone in a study without conditions
    arm: ArmSpec
    values: list[float]  # the grid
    reference: str  # the cell of the reference arm under the same condition
    start: str | None  # the cell whose weights it starts from; ``None`` for random ones
    template: Template

    def run(self, parameter: str, value: float, seed: int, *, start: str | None) -> Run:
        """Return one planned run; ``start`` names the run of that seed that it starts from."""
        values: dict[str, Any] = {parameter: value}
        if start is not None:
            group, name = start.split("/")
            folder = locate(locate(self.template.session.root, group), name).parent
            # The same text for all seeds, which then share a row of TensorBoard's table.
            values["init_from"] = f"{folder}/seed=${{seed}}"
        return self.template.run(values, seed)


class Point(NamedTuple):
    """A cell at one value of the parameter."""

    cell: Cell
    rate: Rate | None  # ``None`` for the tuning grid
    value: float

    @property
    def set_name(self) -> str:
        """The set of runs to which its runs belong, such as ``mse@two:reference``."""
        return self.cell.name if self.rate == "own" else f"{self.cell.name}:{self.rate or 'grid'}"


@dataclass(frozen=True, kw_only=True)
class Study:
    """Arms to compare, quantities to measure, and claims about either.

    Arms are tuned on a grid and confirmed on fresh seeds. Measures are functions of confirming
    runs, of further sets of runs, or of nothing; they return quantities, tables and figures.
    Mappings are in the order of display.
    """

    title: str  # of the report
    question: str
    base: list[str] = field(default_factory=list)  # overrides of every run
    arms: dict[str, Any] = field(default_factory=dict)  # ArmSpec by name
    axis: str = ""  # what the conditions vary, such as ``number of classes``
    # ConditionSpec by name; an arm is tuned under each, as ``<arm>@<condition>``
    conditions: dict[str, Any] = field(default_factory=dict)
    # choice to levels, whose combinations are the conditions (:mod:`losslab.study.universes`)
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    reference: str = ""  # the arm at whose best value the others are also confirmed
    parameter: str = ""  # the key that is tuned, such as ``optimizer.lr``
    values: list[float] = field(default_factory=list)  # its grid
    select: str = "val/accuracy"  # the tag whose mean over the tuning seeds chooses a value
    tune_seeds: list[int] = field(default_factory=list)
    confirm_seeds: list[int] = field(default_factory=list)  # disjoint from ``tune_seeds``
    confirm_at: list[Rate] = field(default_factory=lambda: list(CONFIRM_AT))
    factorials: dict[str, Any] = field(default_factory=dict)  # Factorial by name
    runs: dict[str, Any] = field(default_factory=dict)  # SetSpec by name: only for measures
    # name to a node whose ``_target_`` takes the sets that it ``needs``: those of ``runs``, and
    # ``<arm>`` (confirming runs at its own value), ``<arm>:reference`` and ``<arm>:grid``
    measures: dict[str, dict[str, Any]] = field(default_factory=dict)
    claims: list[Any] = field(default_factory=list)  # Claim, about differences or quantities

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            object.__setattr__(self, name, parse(kind, getattr(self, name), f"study.{name}"))
        for name, node in self.measures.items():
            check_arguments(measure_node(node), f"study.measures.{name}")
        for fault in (*self._faults(), *(self._faults_of_arms() if self.arms else ())):
            raise ValueError(fault)

    def _faults(self) -> Iterator[str]:
        if not self.arms and not self.measures:
            yield "the study has neither arms nor measures; give one of them"
        known = [
            *self.measures,
            *[SHARES] * bool(self.factorials),
            *[UNIVERSES] * bool(self.choices),
        ]
        for claim in self.claims:
            measure = claim.quantity.partition(".")[0]
            if claim.quantity and measure not in known:
                names = ", ".join(known)
                yield f"claim {claim.id} names the measure {measure!r}; the study has {names}"

    def _faults_of_arms(self) -> Iterator[str]:
        grids = {"values": self.values}
        for name in ("tune_seeds", "confirm_seeds", "confirm_at"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                yield f"study.{name}={values}; give at least one value, each once"
            if name.endswith("_seeds") and min(values, default=0) < 0:
                yield f"study.{name}={values}; give numbers ≥ 0"
        grids |= {f"arms.{name}.values": arm.values or [] for name, arm in self.arms.items()}
        for name, condition in self.conditions.items():
            by_arm = (
                condition.values if isinstance(condition.values, dict) else {"": condition.values}
            )
            for arm, values in by_arm.items():
                grids[f"conditions.{name}.values.{arm}".rstrip(".")] = values
        for key, values in grids.items():
            if len(set(values)) < len(values):
                yield f"study.{key}={values}; give each value once"
        for (where, arm), values in self._grids().items():
            if not values:
                place = f" under {where}" if where else ""
                added = ", to which its value is added" if self.arms[arm].value is not None else ""
                advice = f"give it values{added}, or give study.values for all arms"
                yield f"study.arms.{arm} has no grid{place}; {advice}"
        random = [name for name, arm in self.arms.items() if arm.start is None]
        for name, arm in self.arms.items():
            if arm.start is not None and arm.start not in random:
                allowed = f"give an arm that starts from random weights: {', '.join(random)}"
                yield f"study.arms.{name}.start={arm.start}; {allowed}"
        for kind in ("arms", "conditions"):
            for name in (name for name in getattr(self, kind) if "@" in name):
                yield f"study.{kind}.{name}: give a name without @"
        for name, condition in self.conditions.items():
            for kind in ("overrides", "values"):
                by_arm = getattr(condition, kind)
                for arm in set(by_arm) - set(self.arms) if isinstance(by_arm, dict) else ():
                    known = f"{nearest(arm, self.arms)}; the arms are {', '.join(self.arms)}"
                    yield f"study.conditions.{name}.{kind} names {arm!r}{known}"
        if self.reference not in self.arms:
            yield f"study.reference={self.reference}; allowed are {', '.join(self.arms)}"
        if not set(self.confirm_at) <= set(CONFIRM_AT):
            yield f"study.confirm_at={self.confirm_at}; allowed are {', '.join(CONFIRM_AT)}"
        if not self.parameter:
            yield "study.parameter is missing; give the key that is tuned"
        if reused := set(self.tune_seeds) & set(self.confirm_seeds):
            rule = "in both tune_seeds and confirm_seeds; confirm on fresh ones"
            yield f"the seeds {sorted(reused)} are {rule}"
        used = {id(grid) for grid in self._grids().values()}
        for key, values in grids.items():
            # The grids of universes are multiples of their arms'.
            of_universes = self.choices and key.startswith("arms.")
            if values and not of_universes and id(values) not in used:
                why = "every arm that it is for has a grid of its own"
                yield f"study.{key}={values} has no effect: {why}; leave one of them out"

    def _grids(self) -> dict[tuple[str, str], list[float]]:
        """Return the grid of each arm under each condition, empty if it has none."""
        conditions = self.conditions or {"": ConditionSpec(label="", overrides=[])}
        return {
            (where, arm): self._grid(arm, condition)
            for (where, condition), arm in product(conditions.items(), self.arms)
        }

    def _grid(self, arm: str, condition: ConditionSpec) -> list[float]:
        return condition.grid_of(arm, self.arms[arm]) or self.values

    def cells(self, session: Session) -> dict[str, Cell]:
        """Return every arm under every condition, composed."""
        conditions = self.conditions or {"": ConditionSpec(label="", overrides=[])}
        cells = {}
        for (where, condition), (name, arm) in product(conditions.items(), self.arms.items()):
            overrides = [*self.base, *condition.overrides_of(name), *arm.overrides]
            values, given = self._grid(name, condition), arm.value
            cells[in_condition(name, where)] = Cell(
                name=in_condition(name, where),
                arm=arm,
                values=values if given in (None, *values) else sorted([*values, given]),
                reference=in_condition(self.reference, where),
                start=in_condition(arm.start, where) if arm.start else None,
                template=Template(session, overrides),
            )
        return cells

    def sets(self, session: Session) -> "Runs":
        """Return the planned runs of the sets that only measures use."""
        sets: Runs = {}
        for name, spec in self.runs.items():
            for key, values in {**spec.grid, "seeds": spec.seeds}.items():
                if not values:
                    raise ValueError(f"{key}={values}; give at least one value")
            template = Template(session, [*self.base, *spec.overrides])
            sets[name] = [
                template.run(dict(zip(spec.grid, values, strict=True)), seed)
                for *values, seed in product(*spec.grid.values(), spec.seeds)
            ]
        return sets

    def plan(self, session: Session, cells: Mapping[str, Cell], sets: "Runs") -> Plan:
        """Return the plan before the first run; ``ValueError`` for unknown names."""
        rates = {*self.confirm_at, *("scaled" for cell in cells.values() if cell.arm.scale)}
        copied = ["title", "question", "factorials"]
        copied += ["axis", "reference", "parameter", "select"] if cells else []
        return Plan(
            study=session.name,
            command=session.command,
            **{name: getattr(self, name) for name in copied},
            arms={
                name: Arm(cell.arm.label, cell.template.choices["loss"], name.partition("@")[2])
                for name, cell in cells.items()
            },
            conditions={
                name: Condition(spec.label, spec.position, spec.choices, spec.select)
                for name, spec in self.conditions.items()
            },
            choices=self.choices,
            given={n: cell.arm.value for n, cell in cells.items() if cell.arm.value is not None},
            values=tuple(sorted({value for cell in cells.values() for value in cell.values})),
            rates=tuple(rate for rate in RATES if rate in (rates if cells else CONFIRM_AT)),
            runs=tuple(sorted({run.name for run in chain(*sets.values())})),
            claims=tuple(claim for claim in self.claims if not self._is_left_out(claim, session)),
        )

    def _is_left_out(self, claim: Claim, session: Session) -> bool:
        """Return whether a claim involves an arm, condition or set that the command deletes."""
        needs = self.measures.get(claim.quantity.partition(".")[0], {}).get("needs", [])
        return any(map(session.leaves_out, [*(side.arm for side in claim.sides), *needs]))

    def check_names(
        self, session: Session, plan: Plan, cells: Mapping[str, Cell], sets: "Runs"
    ) -> None:
        """Reject unknown sets of runs, and metrics that no configuration can record."""
        known = [*sets, *cells]
        known += [f"{cell}:{r}" for cell in cells for r in (*plan.rates, "grid") if r != "own"]
        metrics = [(f"claim {claim.id}", claim.metric) for claim in self.claims]
        metrics += [("study.select", self.select)] * bool(self.arms)
        metrics += [(f"study.conditions.{n}.select", c.select) for n, c in self.conditions.items()]
        for name, node in self.measures.items():
            set_names, tags = _sets_and_metrics(node)
            metrics += [(f"study.measures.{name}", tag) for tag in tags]
            for word in map(str, [*node.get("needs", []), *set_names]):
                if word not in known and not session.leaves_out(word):
                    unknown = f"study.measures.{name} names {word!r}{nearest(word, known)}"
                    raise ValueError(f"{unknown}; the study's sets of runs are {', '.join(known)}")
        runs = [
            cell.run(self.parameter, cell.values[0], self.tune_seeds[0], start=None)
            for cell in cells.values()
        ]
        if metrics := [(where, metric) for where, metric in metrics if metric]:
            session.check_metrics(metrics, runs + [members[0] for members in sets.values()])

    def varied(self, session: Session) -> set[str]:
        """Return the keys that the study sets itself, run by run."""
        if not self.arms:
            return {"seed", "loss"} | {key for spec in self.runs.values() for key in spec.grid}
        texts = [arm.overrides for arm in self.arms.values()]
        texts += [spec.overrides_of(arm) for spec in self.conditions.values() for arm in self.arms]
        overrides = session.composer.parse(list(chain(*texts)))
        return {"seed", self.parameter} | {override.key_or_group for override in overrides}


def _sets_and_metrics(node: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the sets of runs and the metrics in the arguments of losslab's own measures."""
    sets, metrics = [], []
    if str(node.get("_target_")).startswith("losslab.study."):
        for arguments in (node, *node.get("quantities", {}).values()):
            for key, value in arguments.items():
                if key in ("left", "over", "minus") and isinstance(value, list):
                    sets.append(value[0])
                    metrics.append(value[-1])
                elif key in ("from", "to", "whole") or (key == "over" and isinstance(value, str)):
                    sets.append(value)
                elif key in ("tag", "metric"):
                    metrics.append(value)
    return sets, metrics


def measure_node(node: Mapping[str, Any]) -> DictConfig:
    """Return the node of a measure without its needs, as a partial to be called with its runs."""
    arguments = {key: value for key, value in node.items() if key != "needs"}
    return DictConfig(arguments | {"_partial_": True})
