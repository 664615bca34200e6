"""A study, ``conf/study/NAME.yaml``: plan it, do its missing runs, measure and report."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import signature
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig

from losslab import report
from losslab.experiment.arguments import check_arguments
from losslab.experiment.make import make
from losslab.launchers import Failed
from losslab.launchers.forecast import Forecast
from losslab.parsing import Strict, parse
from losslab.recording import Run, locate, manifest, write_atomically, write_json
from losslab.report.measurement import Evidence, Measurement
from losslab.report.plan import (
    EVIDENCE_FILE,
    PLAN_FILE,
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


Point = tuple[Cell, Rate | None, float]
"""A cell, its rate (``None`` for the tuning grid), and the value of the parameter."""


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
            check_arguments(_waiting(node), f"study.measures.{name}")
        for fault in (*self._faults(), *(self._faults_of_arms() if self.arms else ())):
            raise ValueError(fault)

    def _faults(self) -> Iterator[str]:
        if not self.arms and not self.measures:
            yield "the study has neither arms nor measures; give one of them"
        for claim in self.claims:
            measure = claim.quantity.partition(".")[0]
            known = [*self.measures, *([SHARES] if self.factorials else [])]
            known += [UNIVERSES] * bool(self.choices)
            if claim.quantity and measure not in known:
                names = ", ".join(known)
                yield f"claim {claim.id} is about the measure {measure!r}; the study has {names}"

    def _faults_of_arms(self) -> Iterator[str]:
        for name in ("values", "tune_seeds", "confirm_seeds", "confirm_at"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                yield f"study.{name}={given}; give a list of at least one, each once"
            if name.endswith("_seeds") and min(given, default=0) < 0:
                yield f"study.{name}={given}; give numbers from 0 up"
        random = [name for name, arm in self.arms.items() if arm.start is None]
        for name, arm in self.arms.items():
            if arm.start is not None and arm.start not in random:
                allowed = f"give an arm that starts from random weights: {', '.join(random)}"
                yield f"study.arms.{name}.start={arm.start}; {allowed}"
        for kind in ("arms", "conditions"):
            for name in (name for name in getattr(self, kind) if "@" in name):
                yield f"study.{kind}.{name}: give a name without @"
        for name, under in self.conditions.items():
            for kind in ("overrides", "values"):
                given = getattr(under, kind)
                for arm in set(given) - set(self.arms) if isinstance(given, Mapping) else ():
                    known = f"{nearest(arm, self.arms)}; the arms are {', '.join(self.arms)}"
                    yield f"study.conditions.{name}.{kind} names {arm!r}{known}"
        if self.reference not in self.arms:
            yield f"study.reference={self.reference}; allowed are {', '.join(self.arms)}"
        if not set(self.confirm_at) <= set(CONFIRM_AT):
            yield f"study.confirm_at={self.confirm_at}; allowed are {', '.join(CONFIRM_AT)}"
        if not self.parameter:
            yield "study.parameter is missing; give the key that is tuned"
        if both := set(self.tune_seeds) & set(self.confirm_seeds):
            rule = "in tune_seeds and confirm_seeds; a comparison needs fresh ones"
            yield f"the seeds {sorted(both)} are {rule}"

    def cells(self, session: Session) -> dict[str, Cell]:
        """Return every arm under every condition, composed."""
        conditions = self.conditions or {"": ConditionSpec(label="", overrides=[])}
        found = {}
        for (condition, under), (name, arm) in product(conditions.items(), self.arms.items()):
            overrides = [*self.base, *under.overrides_of(name), *arm.overrides]
            found[in_condition(name, condition)] = Cell(
                name=in_condition(name, condition),
                arm=arm,
                loss=arm.loss or name,
                values=_grid_of(name, arm, under) or self.values,
                reference=in_condition(self.reference, condition),
                start=in_condition(arm.start, condition) if arm.start else None,
                template=Template(session, overrides),
            )
        return found

    def sets(self, session: Session) -> "Runs":
        """Return the planned runs of the sets that only measures use."""
        sets: Runs = {}
        for name, about in self.runs.items():
            for key, values in {**about.grid, "seeds": about.seeds}.items():
                if not values:
                    raise ValueError(f"{key}={values}; give a list of at least one")
            template = Template(session, [*self.base, *about.overrides])
            sets[name] = [
                template.run(dict(zip(about.grid, values, strict=True)), seed)
                for *values, seed in product(*about.grid.values(), about.seeds)
            ]
        return sets

    def plan(self, session: Session, cells: Mapping[str, Cell], sets: "Runs") -> Plan:
        """Return the plan before the first run; ``ValueError`` for unknown names."""
        rates = {*self.confirm_at, *("scaled" for cell in cells.values() if cell.arm.scale)}
        same = ["title", "question", "factorials"]
        same += ["axis", "reference", "parameter", "select"] if cells else []
        return Plan(
            study=session.name,
            command=session.command,
            **{name: getattr(self, name) for name in same},
            arms={
                name: Arm(cell.arm.label, cell.loss, name.partition("@")[2])
                for name, cell in cells.items()
            },
            conditions={
                name: Condition(about.label, about.position, about.choices, about.select)
                for name, about in self.conditions.items()
            },
            choices=self.choices,
            values=tuple(sorted({value for cell in cells.values() for value in cell.values})),
            rates=tuple(rate for rate in RATES if rate in (rates if cells else CONFIRM_AT)),
            runs=tuple(sorted({run.name for runs in sets.values() for run in runs})),
            claims=tuple(claim for claim in self.claims if not self._is_left_out(claim, session)),
        )

    def _is_left_out(self, claim: Claim, session: Session) -> bool:
        """Return whether a claim involves an arm, condition or set that the command deletes."""
        measure = self.measures.get(claim.quantity.partition(".")[0], {})
        about = [*(side.arm for side in claim.sides), *measure.get("needs", [])]
        return any(not session.left_out.isdisjoint(re.split("[@:]", name)) for name in about)

    def run(self, session: Session) -> list[Failed]:
        """Do the missing runs and write the report; return the runs that failed."""
        with session.launcher:
            cells, sets, plan = self._checked(session)
            every = [run for runs in sets.values() for run in runs]
            failed: list[Failed] = []
            if every or not cells:
                failed = session.do(every, "runs", checked=partial(_write, session, plan))
            # Arms that start from another one's weights come after it.
            for later in (False, True):
                stage = [cell for cell in cells.values() if bool(cell.start) is later]
                if not stage or (plan.tune and failed):
                    continue
                plan, confirmed, more = self._tune_and_confirm(session, plan, stage)
                sets, failed = sets | confirmed, failed + more
        if self.measures:
            self._measure(session, sets, {name: plan.label(name) for name in cells})
        report.build(session.root, console=session.console)
        return failed

    def _checked(self, session: Session) -> tuple[dict[str, Cell], "Runs", Plan]:
        """Return cells, sets and plan after all checks that need no training."""
        session.check_overrides(self.varied(session))
        cells, sets = self.cells(session), self.sets(session)
        plan = self.plan(session, cells, sets)
        self._check_names(session, plan, cells, sets)
        return cells, sets, plan

    def forecast(self, session: Session) -> Forecast:
        """Return the runs as far as they are known, without writing anything."""
        cells, sets, plan = self._checked(session)
        runs = [run for members in sets.values() for run in members]
        more = 0
        for later in (False, True):
            stage = [cell for cell in cells.values() if bool(cell.start) is later]
            tuned = len(self.tune_seeds) * sum(len(cell.values) for cell in stage)
            sides = 0
            for cell in stage:
                # All rates are the same for the reference.
                is_reference = cell.name == cell.reference
                scaled = cell.arm.scale is not None
                sides += 1 if is_reference else len(self.confirm_at) + scaled
            confirmed = len(self.confirm_seeds) * sides
            # Runs that start from other weights can be planned once these exist.
            if later and (more or any(run.pending for run in runs)):
                more += tuned + confirmed
                continue
            grid: list[Point] = [(cell, None, value) for cell in stage for value in cell.values]
            plan, tuning = self._planned(plan, "tune", grid)
            found = [run for members in tuning.values() for run in members]
            runs += found
            if any(run.pending for run in found):
                more += confirmed
            elif found:
                plan = _with_choices(plan, session)
                points = self.confirming(stage, plan.chosen)
                plan, confirming = self._planned(plan, "confirm", points)
                runs += [run for members in confirming.values() for run in members]
        runs = list(dict.fromkeys(runs))
        return Forecast(runs, more=more, shared=session.count_shared(runs))

    def _planned(
        self, plan: Plan, title: Literal["tune", "confirm"], points: Sequence[Point]
    ) -> tuple[Plan, "Runs"]:
        """Add the runs of some points to the plan; return it and these runs as sets."""
        planned: list[PlannedRun] = []
        sets: Runs = {}
        for point in points:
            cell, rate, value = point
            runs = sets[f"{cell.name}:{rate or value}"] = self.runs_of(plan, point)
            planned += [PlannedRun(cell.name, value, run.seed, run.name, rate) for run in runs]
        more: dict[str, Any] = {title: (*getattr(plan, title), *planned)}
        return replace(plan, **more), sets

    def _check_names(
        self, session: Session, plan: Plan, cells: Mapping[str, Cell], sets: "Runs"
    ) -> None:
        """Reject unknown sets of runs, and metrics that no configuration can record."""
        known = [*sets, *cells]
        known += [f"{c}:{of}" for c in cells for of in (*plan.rates, "grid") if of != "own"]
        metrics = [(f"claim {claim.id}", claim.metric) for claim in self.claims if claim.metric]
        metrics += [("study.select", self.select)] * bool(self.arms)
        given = [(f"study.conditions.{n}.select", u.select) for n, u in self.conditions.items()]
        metrics += [each for each in given if each[1]]
        for name, node in self.measures.items():
            of_sets, of_metrics = _named(node)
            metrics += [(f"study.measures.{name}", metric) for metric in of_metrics]
            for word in map(str, [*node.get("needs", []), *of_sets]):
                if word not in known and session.left_out.isdisjoint(re.split("[@:]", word)):
                    unknown = f"study.measures.{name} is about {word!r}{nearest(word, known)}"
                    raise ValueError(f"{unknown}; the study's sets of runs are {', '.join(known)}")
        parameter, seeds = self.parameter, self.tune_seeds
        first = [
            cell.run(parameter, cell.values[0], seeds[0], start=None) for cell in cells.values()
        ]
        if metrics:
            session.check_metrics(metrics, first + [runs[0] for runs in sets.values()])

    def varied(self, session: Session) -> set[str]:
        """Return the keys that the study sets itself, run by run."""
        if not self.arms:
            return {"seed", "loss"} | {key for about in self.runs.values() for key in about.grid}
        made = [arm.overrides for arm in self.arms.values()]
        made += [under.overrides_of(a) for under in self.conditions.values() for a in self.arms]
        overrides = session.composer.parse([text for texts in made for text in texts])
        return {"seed", self.parameter} | {override.key_or_group for override in overrides}

    def _tune_and_confirm(
        self, session: Session, plan: Plan, cells: Sequence[Cell]
    ) -> tuple[Plan, "Runs", list[Failed]]:
        """Run the grid of some arms, choose their values, and run these on fresh seeds."""
        ready = [cell for cell in cells if cell.start is None or cell.start in plan.chosen]
        grid: list[Point] = [(cell, None, value) for cell in ready for value in cell.values]
        plan, tuning, failed = self.do(session, plan, "tune", grid)
        grids = {
            f"{cell.name}:grid": [run for v in cell.values for run in tuning[f"{cell.name}:{v}"]]
            for cell in ready
        }
        plan = _with_choices(plan, session)
        points = self.confirming(cells, plan.chosen)
        plan, confirmed, more = self.do(session, plan, "confirm", points)
        return plan, grids | confirmed, failed + more

    def confirming(self, cells: Iterable[Cell], chosen: Mapping[str, float]) -> list[Point]:
        """Return the points at which cells are confirmed, given their chosen values."""
        points: list[Point] = []
        for cell in (cell for cell in cells if cell.name in chosen):
            reference = chosen.get(cell.reference)
            if "own" in self.confirm_at:
                points.append((cell, "own", chosen[cell.name]))
            if reference is not None and "reference" in self.confirm_at:
                points.append((cell, "reference", reference))
            if reference is not None and cell.arm.scale is not None:
                points.append((cell, "scaled", reference * cell.arm.scale))
        return points

    def runs_of(self, plan: Plan, point: Point) -> list[Run]:
        """Return the runs of a point: on tuning seeds without a rate, else on confirming seeds.

        The plan must have the runs whose weights they start from.
        """
        cell, rate, value = point
        own = [run for run in plan.confirm if run.rate == "own"]
        own += [run for run in plan.tune if run.value == plan.chosen.get(run.arm)]
        starts = {run.seed: run.run for run in own if run.arm == cell.start}
        return [
            cell.run(self.parameter, value, seed, start=starts.get(seed))
            for seed in (self.confirm_seeds if rate else self.tune_seeds)
        ]

    def do(
        self,
        session: Session,
        plan: Plan,
        title: Literal["tune", "confirm"],
        points: Sequence[Point],
    ) -> tuple[Plan, "Runs", list[Failed]]:
        """Do the runs of some points; return the plan, the runs as sets, and those that failed."""
        plan, sets = self._planned(plan, title, points)
        runs = [run for members in sets.values() for run in members]
        failed = session.do(runs, title, checked=partial(_write, session, plan))
        return plan, {name.removesuffix(":own"): members for name, members in sets.items()}, failed

    def _measure(self, session: Session, sets: "Runs", labels: Mapping[str, str]) -> None:
        """Call the measures whose runs are finished; write ``evidence.json``."""
        complete = {
            name: runs for name, runs in sets.items() if runs and all(run.finished for run in runs)
        }
        measured: dict[str, Measurement] = {}
        for name, node in self.measures.items():
            needs = node.get("needs", [])
            if set(needs) <= complete.keys():
                measure = make(_waiting(node), f"study.measures.{name}")
                if "labels" in signature(measure).parameters and "labels" not in node:
                    measure = partial(measure, labels=labels)
                measured[name] = measure({need: complete[need] for need in needs})
        about = manifest(command=session.command, device="cpu", threads=1, choices={})
        session.root.mkdir(parents=True, exist_ok=True)
        write_atomically(session.root / EVIDENCE_FILE, Evidence(measured, about).text())


def _grid_of(name: str, arm: ArmSpec, under: ConditionSpec) -> list[float] | None:
    """Return an arm's grid under a condition: that for both, or the arm's, or the condition's."""
    if isinstance(under.values, Mapping):
        return under.values.get(name) or arm.values
    return arm.values or under.values


def _named(node: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the sets of runs and the metrics in the arguments of losslab's own measures."""
    if not str(node.get("_target_")).startswith("losslab.study."):
        return [], []
    about = [node, *node.get("quantities", {}).values()]
    given = [(key, value) for each in about for key, value in each.items()]
    pairs = [
        value
        for key, value in given
        if key in ("left", "over", "minus") and isinstance(value, list)
    ]
    sets = [value for key, value in given if key in ("from", "to", "whole")]
    sets += [value for key, value in given if key == "over" and isinstance(value, str)]
    metrics = [value for key, value in given if key in ("tag", "metric")]
    return sets + [pair[0] for pair in pairs], metrics + [pair[-1] for pair in pairs]


def _waiting(node: Mapping[str, Any]) -> DictConfig:
    """Return the node of a measure as a partial, to be called with its runs."""
    arguments = {key: value for key, value in node.items() if key != "needs"}
    return DictConfig(arguments | {"_partial_": True})


def _with_choices(plan: Plan, session: Session) -> Plan:
    """Return the plan with the values chosen from the tuning runs so far."""
    choices = report.select(report.tuning_points(plan, report.load_runs(session.root)))
    return replace(plan, chosen={arm: choice.value for arm, choice in choices.items()})


def _write(session: Session, plan: Plan) -> None:
    session.root.mkdir(parents=True, exist_ok=True)
    write_json(session.root / PLAN_FILE, plan.to_json())
