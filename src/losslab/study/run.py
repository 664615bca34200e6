"""``losslab study NAME``."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from losslab.experiment import Composer, quoted
from losslab.experiment.make import make
from losslab.launchers import Failed
from losslab.study.points import Session
from losslab.study.study import Study
from losslab.sweepers import only_with_m

SIZES = ("committed", "full")
"""Sizes of a study: what two cores do in minutes and the repository holds; more for a GPU."""


IN_REPOSITORY = ("identities", "weight_prior")
"""Studies with their own code, which is in ``experiments`` and not in a wheel."""


def studies(composer: Composer) -> list[str]:
    """Return the names of all studies that are installed."""
    return composer.choices("study")


def only_in_repository(composer: Composer) -> list[str]:
    """Return the names of the studies that a wheel lacks; none in a checkout."""
    return [name for name in IN_REPOSITORY if name not in studies(composer)]


def run_study(
    composer: Composer, name: str, overrides: Sequence[str], *, console: Console, command: str
) -> list[Failed]:
    """Do a study's missing runs and write its report; return the runs that failed.

    Arguments and errors as for :func:`open_study`.
    """
    study, session = open_study(composer, name, overrides, console=console, command=command)
    with session.launcher:
        return study.run(session)


def open_study(
    composer: Composer, name: str, overrides: Sequence[str], *, console: Console, command: str
) -> tuple[Study, Session]:
    """Return a study, checked, and what its runs need; nothing is run.

    Args:
        composer: Open.
        name: Of the study.
        overrides: For every run, and for the study itself where they begin with ``study.``.
        console: For progress and the report.
        command: As typed, for the report.

    Raises:
        ValueError: No such study or key, or its parts do not fit.
    """
    if name in only_in_repository(composer):
        raise ValueError(
            f"the study {name} has its own code and is in losslab's repository, not in this "
            f"installation; run it in a checkout, or add --config-dir with its experiments/{name}"
        )
    overrides = [quoted(text) for text in overrides]
    parsed = composer.parse(overrides)
    only_with_m(parsed)
    about_study = [o.input_line or "" for o in parsed if o.key_or_group.startswith("study.")]
    for_runs = [text for text in overrides if text not in about_study]
    node = composer.compose([f"+study={name}", *about_study]).study
    folder = name if node.get("size", SIZES[0]) == SIZES[0] else f"{name}_{node.size}"
    study: Study = make(sized(node, name), "study", recursive=False)
    return study, Session(composer, folder, for_runs, console, command)


def sized(node: DictConfig, name: str) -> DictConfig:
    """Return a study's node at its size: ``full`` adds to ``base`` and replaces all else."""
    container: Any = OmegaConf.to_container(node)
    size, full = container.pop("size", SIZES[0]), container.pop("full", None)
    if size not in SIZES or (size != SIZES[0] and full is None):
        allowed = SIZES if full is not None else SIZES[:1]
        raise ValueError(f"study.size={size}; {name} comes in the sizes {' and '.join(allowed)}")
    if size == "full":
        container["base"] = [*container.get("base", []), *full.pop("base", [])]
        container |= full
    sized = OmegaConf.create(container)
    assert isinstance(sized, DictConfig)
    return sized
