"""Run a study: tune, choose, confirm, report; whatever is finished is not run again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from losslab import report
from losslab.experiment import Composer, RunIdentity, choices_of, identify, prepare
from losslab.experiment.compose import without_hydra
from losslab.recording import FINISHED, write_json
from losslab.study.definition import Study, load_study
from losslab.study.launch import Failed, launch, outcome


@dataclass(frozen=True)
class Point:
    """One run of a study.

    Attributes:
        arm: Its name.
        value: Of the study's parameter.
        overrides: All that Hydra needs to compose it.
        config: Composed.
        choices: Group to choice.
        identity: Where its results are.
    """

    arm: str
    value: float
    overrides: list[str]
    config: DictConfig
    choices: dict[str, str]
    identity: RunIdentity


def run_study(
    composer: Composer, name: str, overrides: Sequence[str], *, console: Console, command: str
) -> list[Failed]:
    """Run what is missing of a study and write its report; return the runs that failed.

    Args:
        composer: Open.
        name: Of the study.
        overrides: For every run, and for the study itself where they begin with ``study.``.
        console: For progress and the report.
        command: As typed, for the report.
    """
    parsed = composer.parse(overrides)
    about_study = [o for o in parsed if o.key_or_group.startswith("study.")]
    for_runs = _texts(o for o in parsed if o not in about_study)
    study = load_study(composer, name, _texts(about_study))
    common = [f"name={name}", *study.base, *for_runs]
    grid = _Grid(composer, study, common)

    tune = [
        grid.point(arm, value, seed)
        for arm in study.arms
        for value in study.values
        for seed in study.tune_seeds
    ]
    root = tune[0].identity.directory.path.parents[1]
    plan: dict[str, Any] = _plan(study, command, root, tune)
    failed = _run(composer, tune, common, console=console, title=f"{name}: tune")
    _write(root, plan)
    choices = report.select(report.load_plan(root), report.load_runs(root))
    plan["chosen"] = {arm: choice.value for arm, choice in choices.items()}
    confirm = [
        (rate, grid.point(arm, value, seed))
        for rate, values in (
            ("own", plan["chosen"]),
            ("reference", _at_reference(study, plan["chosen"])),
        )
        for arm, value in values.items()
        for seed in study.confirm_seeds
    ]
    plan["confirm"] = [
        _entry(point, root) | {"rate": rate, "seed": point.identity.seed} for rate, point in confirm
    ]
    _write(root, plan)
    distinct = list({p.identity.directory.path: p for _, p in confirm}.values())
    failed += _run(composer, distinct, common, console=console, title=f"{name}: confirm")
    report.build(root, console=console)
    return failed


class _Grid:
    """Composes each arm once; the values and seeds of the grid are set in copies of it."""

    def __init__(self, composer: Composer, study: Study, common: list[str]) -> None:
        self._study, self._common = study, common
        self._arms = {
            name: composer.compose([*common, *arm.overrides]) for name, arm in study.arms.items()
        }

    def point(self, arm: str, value: float, seed: int) -> Point:
        own = [f"{self._study.parameter}={value}", f"seed={seed}"]
        full = self._arms[arm]
        config = without_hydra(full)
        with open_dict(config):
            OmegaConf.update(config, self._study.parameter, value)
            config.seed = seed
        choices = choices_of(full.hydra)
        return Point(
            arm=arm,
            value=value,
            overrides=[*self._common, *self._study.arms[arm].overrides, *own],
            config=config,
            choices=choices,
            identity=identify(config, choices),
        )


def _run(
    composer: Composer,
    points: Sequence[Point],
    common: Sequence[str],
    *,
    console: Console,
    title: str,
) -> list[Failed]:
    missing = [
        point
        for point in points
        if point.identity.directory.status not in FINISHED or point.config.force
    ]
    # All are checked before the first one is trained.
    for point in missing:
        prepare(point.config, point.choices)
    jobs = [(point.overrides, point.identity.directory) for point in missing]
    launch(composer, jobs, overrides=common, console=console, title=title)
    return outcome([point.identity.directory for point in points])


def _plan(study: Study, command: str, root: Path, tune: Sequence[Point]) -> dict[str, Any]:
    return {
        "study": study.name,
        "title": study.title,
        "question": study.question,
        "command": command,
        "arms": {name: {"label": arm.label} for name, arm in study.arms.items()},
        "reference": study.reference,
        "parameter": study.parameter,
        "values": study.values,
        "select": study.select,
        "tune": [_entry(point, root) | {"seed": point.identity.seed} for point in tune],
        "chosen": {},
        "confirm": [],
        "claims": study.claims,
    }


def _entry(point: Point, root: Path) -> dict[str, Any]:
    run = point.identity.directory.path.relative_to(root)
    return {"arm": point.arm, "value": point.value, "run": run.as_posix()}


def _at_reference(study: Study, chosen: dict[str, float]) -> dict[str, float]:
    """Return every arm at the reference's value, if that is known."""
    if study.reference not in chosen:
        return {}
    return dict.fromkeys(study.arms, chosen[study.reference])


def _write(root: Path, plan: dict[str, Any]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    write_json(root / "study.json", plan)


def _texts(overrides: Iterable[Override]) -> list[str]:
    return [override.input_line or "" for override in overrides]
