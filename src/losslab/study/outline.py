"""The size and the outline of a study, from its file alone."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import prod
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from losslab.files import shown
from losslab.folders import CONFIG_FOLDER
from losslab.recording import Run, last_record, run_folders
from losslab.study.universes import cross
from losslab.text import duration
from losslab.workers import cores

if TYPE_CHECKING:
    from losslab.experiment import Composer

SIZES = ("committed", "quick", "full")
"""Sizes of a study: the committed one (minutes on two cores), a first look (one minute), and a
larger one for a GPU."""

IN_REPOSITORY = (
    *("common_mistakes", "datasets", "edge", "every_loss", "identities", "lost_classes"),
    *("number_of_classes", "throughput", "weight_prior"),
)
"""Studies with code in ``experiments``, which a wheel does not contain."""

_TIMED = 200  # runs to read times from, a millisecond each


def only_in_repository(composer: "Composer") -> list[str]:
    """Return the names of the studies that this installation lacks; none in a checkout."""
    return [name for name in IN_REPOSITORY if name not in composer.choices("study")]


def sized(node: DictConfig, name: str) -> DictConfig:
    """Return a study's node at its size, with ``choices`` turned into conditions.

    A size appends to ``base`` and replaces all other keys that it sets.
    """
    values: Any = OmegaConf.to_container(node)
    size = values.pop("size", SIZES[0])
    sizes = {other: values.pop(other) for other in SIZES[1:] if other in values}
    if size not in (allowed := [SIZES[0], *sizes]):
        raise ValueError(f"study.size={size}; {name} comes in the sizes {', '.join(allowed)}")
    if size in sizes:
        base = [*values.get("base", []), *sizes[size].get("base", [])]
        values |= sizes[size] | {"base": base}
    choices, listed = values.pop("choices", None), values.pop("universes", None)
    if choices is not None:
        values["conditions"] = cross(choices, values.get("arms", {}), listed)
        values["choices"] = {choice: list(levels) for choice, levels in choices.items()}
    return DictConfig(values)


def at_size(composer: "Composer", name: str, overrides: Sequence[str]) -> list[str]:
    """Return overrides that also apply to the keys that the study's size, if given, sets itself.

    With ``study.size=quick``, ``study.values=[0.1]`` becomes ``study.quick.values=[0.1]``, as the
    size would replace it otherwise.
    """
    size = next((text[11:] for text in overrides if text.startswith("study.size=")), SIZES[0])
    if size not in SIZES[1:]:
        return list(overrides)
    own = composer.compose([f"+study={name}"]).study.get(size, {}).keys() - {"base"}
    key = re.compile(rf"^([+~]*study\.)(?=({'|'.join(own) or '(?!)'})\b)")
    return [key.sub(rf"\g<1>{size}.", text) for text in overrides]


def folder_name(node: DictConfig, name: str) -> str:
    """Return the name of a study's folder, at its node's size: ``budget_quick``."""
    size = node.get("size", SIZES[0])
    return name if size == SIZES[0] else f"{name}_{size}"


def outline(composer: "Composer", name: str, overrides: Sequence[str]) -> str:
    """Describe a study: question, arms, runs by phase, sizes and time."""
    for_study = [text for text in overrides if text.lstrip("+~").startswith("study.")]
    common = composer.compose([text for text in overrides if text not in for_study])
    node = composer.compose([f"+study={name}", *at_size(composer, name, for_study)]).study
    study: Any = OmegaConf.to_container(sized(node, name))
    arms, conditions = study.get("arms", {}), study.get("conditions", {})
    lines = [study["title"], "", *textwrap.wrap(study["question"], 79)]
    if arms:
        width = max(map(len, arms))
        lines += ["", "Arms:"]
        lines += [f"  {arm:{width}}  {spec['label']}" for arm, spec in arms.items()]
    if conditions:
        labels = ", ".join(spec["label"] for spec in conditions.values())
        text = f"Each for {study.get('axis')}: {labels}"
        lines += textwrap.wrap(text, 79, subsequent_indent="  ")
    phases = _phases(study)
    count = sum(phases.values())
    lines += ["", f"Runs: at most {count}; identical ones run once"]
    lines += [f"  {runs:5}  {purpose}" for purpose, runs in phases.items() if runs]
    others = ", ".join(f"study.size={size}" for size in SIZES[1:] if size in node)
    lines.append("")
    if others:
        lines.append(f"Size: {SIZES[0]}, as for the results in experiments; others are {others}")
    root = Path(common.output_dir).expanduser() / folder_name(node, name)
    return "\n".join([*lines, _time(root, count), *_committed(name), ""])


def _phases(study: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of runs in each phase of a study."""
    arms, reference = study.get("arms", {}), study.get("reference")
    rates = len(study.get("confirm_at", ("own", "reference")))
    points = sides = 0
    for condition in study.get("conditions", {"": {}}).values():
        for name, arm in arms.items():
            values = condition.get("values", [])
            by_arm, shared = (values, []) if isinstance(values, dict) else ({}, values)
            grid = by_arm.get(name) or arm.get("values") or shared or study.get("values", [])
            points += len(grid) + (arm.get("value") not in (None, *grid))
            # The reference is confirmed at one rate.
            sides += 1 if name == reference else rates + (arm.get("scale") is not None)
    sets = study.get("runs", {}).values()
    return {
        f"to tune {study.get('parameter')}": points * len(study.get("tune_seeds", [])),
        "to confirm on fresh seeds": sides * len(study.get("confirm_seeds", [])),
        "for measures alone": sum(
            prod(map(len, [spec["seeds"], *spec.get("grid", {}).values()])) for spec in sets
        ),
    }


def _time(root: Path, count: int) -> str:
    """Estimate how long runs take, from finished ones in a folder."""
    runs = [Run.at(path) for path in sorted(run_folders(root))] if root.is_dir() else []
    runs = runs[:: len(runs) // _TIMED + 1]
    seconds = []
    for run in runs:
        with suppress(OSError, ValueError, LookupError, TypeError):
            seconds += [float(last_record(run.files.metrics)["wall_s"])] * run.finished
    if not seconds:
        return f"Time: not known yet; {shown(root.absolute())} has no finished runs"
    at_once = cores()
    left = duration(mean(seconds) * count / at_once)
    return (
        f"Time: {left} with {at_once} runs at once, from the mean of {len(seconds)} finished runs "
        f"in {shown(root.absolute())}"
    )


def _committed(name: str) -> list[str]:
    """Return the time of the study's command from its committed page, if there is one."""
    page = CONFIG_FOLDER.parent / "experiments" / name / "README.md"
    text = page.read_text("utf-8") if page.is_file() else ""
    match = re.search(r"^\*\*Command\.\*\* `[^`]+` \((.+?)\)", text, re.MULTILINE)
    return textwrap.wrap(f"Committed: {match[1]}", 79, subsequent_indent="  ") if match else []
