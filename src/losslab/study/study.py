"""A study, ``conf/study/NAME.yaml``: plan it, do its missing runs, measure and report."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import signature
from itertools import chain, product
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from omegaconf import DictConfig

from losslab import report
from losslab.experiment.arguments import check_arguments
from losslab.experiment.make import make
from losslab.launchers import Failed
from losslab.launchers.forecast import Forecast
from losslab.parsing import Strict, parse
from losslab.recording import Run, locate, manifest, write_atomically
from losslab.report.measurement import Evidence, Measurement
from losslab.report.plan import (
    EVIDENCE_FILE,
    Arm,
    Claim,
    Condition,
    Factorial,
    Plan,
    PlannedRun,
    Rate,
    in_condition,
)
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
    loss: str | None = None  # decides its colour; by default the arm's name
    values: list[float] | None = None  # its own grid
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
        """Return an arm's grid: its own here, or its own everywhere, or the condition's."""
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
    loss: str  # decides its colour
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
            check_arguments(_partial(node), f"study.measures.{name}")
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
                yield f"claim {claim.id} is about the measure {measure!r}; the study has {names}"

    def _faults_of_arms(self) -> Iterator[str]:
        for name in ("values", "tune_seeds", "confirm_seeds", "confirm_at"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                yield f"study.{name}={values}; give a list of at least one, each once"
            if name.endswith("_seeds") and min(values, default=0) < 0:
                yield f"study.{name}={values}; give numbers from 0 up"
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
            rule = "in tune_seeds and confirm_seeds; a comparison needs fresh ones"
            yield f"the seeds {sorted(reused)} are {rule}"

    def cells(self, session: Session) -> dict[str, Cell]:
        """Return every arm under every condition, composed."""
        conditions = self.conditions or {"": ConditionSpec(label="", overrides=[])}
        cells = {}
        for (where, condition), (name, arm) in product(conditions.items(), self.arms.items()):
            overrides = [*self.base, *condition.overrides_of(name), *arm.overrides]
            cells[in_condition(name, where)] = Cell(
                name=in_condition(name, where),
                arm=arm,
                loss=arm.loss or name,
                values=condition.grid_of(name, arm) or self.values,
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
                    raise ValueError(f"{key}={values}; give a list of at least one")
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
                name: Arm(cell.arm.label, cell.loss, name.partition("@")[2])
                for name, cell in cells.items()
            },
            conditions={
                name: Condition(spec.label, spec.position, spec.choices, spec.select)
                for name, spec in self.conditions.items()
            },
            choices=self.choices,
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
                    unknown = f"study.measures.{name} is about {word!r}{nearest(word, known)}"
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

    def run(self, session: Session) -> list[Failed]:
        """Do the missing runs and write the report; return the runs that failed."""
        with session.launcher:
            execution = Execution.checked(self, session)
            execution.run()
        if self.measures:
            execution.measure()
        report.build(session.root, console=session.console)
        return execution.failed

    def forecast(self, session: Session) -> Forecast:
        """Return the runs as far as they are known, without writing anything."""
        return Execution.checked(self, session).forecast()


@dataclass(kw_only=True)
class Execution:
    """A study that is being carried out."""

    study: Study
    session: Session
    cells: dict[str, Cell]
    sets: "Runs"  # planned so far
    plan: Plan  # so far
    failed: list[Failed] = field(default_factory=list)

    @classmethod
    def checked(cls, study: Study, session: Session) -> Self:
        """Return the execution before its first run, after all checks that need no training."""
        session.check_overrides(study.varied(session))
        cells, sets = study.cells(session), study.sets(session)
        plan = study.plan(session, cells, sets)
        study.check_names(session, plan, cells, sets)
        return cls(study=study, session=session, cells=cells, sets=sets, plan=plan)

    def run(self) -> None:
        """Do the missing runs."""
        if self.sets or not self.cells:
            runs = list(chain(*self.sets.values()))
            self.failed += self.session.do(runs, "runs", self.plan)
        for stage in self._stages():
            if self.plan.tune and self.failed:
                break
            chosen = self.plan.chosen
            self.do("tune", _grid(cell for cell in stage if not cell.start or cell.start in chosen))
            self._choose()
            self.do("confirm", self.confirming(stage))

    def forecast(self) -> Forecast:
        """Return the runs as far as they are known, without writing anything."""
        study, runs, more = self.study, list(chain(*self.sets.values())), 0
        for stage in self._stages():
            # All rates are the same for the reference.
            points = sum(
                1
                if cell.name == cell.reference
                else len(study.confirm_at) + (cell.arm.scale is not None)
                for cell in stage
            )
            confirmed = len(study.confirm_seeds) * points
            # Runs that start from other weights can be planned once these exist.
            if stage[0].start and (more or any(run.pending for run in runs)):
                more += confirmed + len(study.tune_seeds) * len(_grid(stage))
                continue
            tuned = self.add(_grid(stage))
            runs += tuned
            if any(run.pending for run in tuned):
                more += confirmed
            else:
                self._choose()
                runs += self.add(self.confirming(stage))
        runs = list(dict.fromkeys(runs))
        return Forecast(runs, more=more, shared=self.session.count_shared(runs))

    def _stages(self) -> Iterator[list[Cell]]:
        """Yield the arms that start from random weights, then those that start from these arms'."""
        for warm in (False, True):
            if stage := [cell for cell in self.cells.values() if bool(cell.start) is warm]:
                yield stage

    def do(self, title: str, points: Iterable[Point]) -> None:
        """Do the missing runs of some points."""
        runs = self.add(points)
        self.failed += self.session.do(runs, title, self.plan)

    def add(self, points: Iterable[Point]) -> list[Run]:
        """Add the runs of some points to the plan and the sets; return them."""
        tune, confirm = list(self.plan.tune), list(self.plan.confirm)
        sets: Runs = {}
        for point in points:
            cell, rate, value = point
            runs = self.runs_of(point)
            sets.setdefault(point.set_name, []).extend(runs)
            planned = tune if rate is None else confirm
            planned += [PlannedRun(cell.name, value, run.seed, run.name, rate) for run in runs]
        self.sets |= sets
        self.plan = replace(self.plan, tune=tuple(tune), confirm=tuple(confirm))
        return list(chain(*sets.values()))

    def _choose(self) -> None:
        """Choose the values of arms from the tuning runs so far."""
        runs = report.load_runs(self.session.root)
        choices = report.select(report.tuning_points(self.plan, runs))
        chosen = {arm: choice.value for arm, choice in choices.items()}
        self.plan = replace(self.plan, chosen=chosen)

    def confirming(self, cells: Iterable[Cell]) -> list[Point]:
        """Return the points at which cells with a chosen value are confirmed."""
        chosen, points = self.plan.chosen, list[Point]()
        for cell in (cell for cell in cells if cell.name in chosen):
            reference = chosen.get(cell.reference)
            if "own" in self.study.confirm_at:
                points.append(Point(cell, "own", chosen[cell.name]))
            if reference is not None and "reference" in self.study.confirm_at:
                points.append(Point(cell, "reference", reference))
            if reference is not None and cell.arm.scale is not None:
                points.append(Point(cell, "scaled", reference * cell.arm.scale))
        return points

    def runs_of(self, point: Point) -> list[Run]:
        """Return the runs of a point: on tuning seeds without a rate, else on confirming seeds.

        The plan must have the runs whose weights they start from.
        """
        cell, rate, value = point
        chosen = [run for run in self.plan.confirm if run.rate == "own"]
        chosen += [run for run in self.plan.tune if run.value == self.plan.chosen.get(run.arm)]
        starts = {run.seed: run.run for run in chosen if run.arm == cell.start}
        return [
            cell.run(self.study.parameter, value, seed, start=starts.get(seed))
            for seed in (self.study.confirm_seeds if rate else self.study.tune_seeds)
        ]

    def measure(self) -> None:
        """Call the measures whose runs are finished; write ``evidence.json``."""
        root, labels = self.session.root, {name: self.plan.label(name) for name in self.cells}
        complete = {
            name: runs
            for name, runs in self.sets.items()
            if runs and all(run.finished for run in runs)
        }
        measured: dict[str, Measurement] = {}
        for name, node in self.study.measures.items():
            needs = node.get("needs", [])
            if set(needs) <= complete.keys():
                measure = make(_partial(node), f"study.measures.{name}")
                if "labels" in signature(measure).parameters and "labels" not in node:
                    measure = partial(measure, labels=labels)
                measured[name] = measure({need: complete[need] for need in needs})
        provenance = manifest(command=self.session.command, device="cpu", threads=1, choices={})
        root.mkdir(parents=True, exist_ok=True)
        write_atomically(root / EVIDENCE_FILE, Evidence(measured, provenance).text())


def _grid(cells: Iterable[Cell]) -> list[Point]:
    """Return the points at which cells are tuned."""
    return [Point(cell, None, value) for cell in cells for value in cell.values]


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


def _partial(node: Mapping[str, Any]) -> DictConfig:
    """Return the node of a measure as a partial, to be called with its runs."""
    arguments = {key: value for key, value in node.items() if key != "needs"}
    return DictConfig(arguments | {"_partial_": True})
