"""``losslab study NAME``."""

from collections.abc import Sequence
from typing import Protocol

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from rich.console import Console

from losslab.experiment import Composer
from losslab.study.launch import Failed
from losslab.study.points import Session


class Study(Protocol):
    """What ``conf/study/NAME.yaml`` names as its ``_target_``."""

    def run(self, session: Session) -> list[Failed]:
        """Run what is missing and write the report; return the runs that failed."""


def studies(composer: Composer) -> list[str]:
    """Return the names of all studies."""
    return composer.choices("study")


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

    Raises:
        ValueError: No such study or key, or its parts do not fit.
    """
    parsed = composer.parse(overrides)
    about_study = [o.input_line or "" for o in parsed if o.key_or_group.startswith("study.")]
    for_runs = [text for text in overrides if text not in about_study]
    study = _load(composer, name, about_study)
    return study.run(Session(composer, name, for_runs, console, command))


def _load(composer: Composer, name: str, overrides: list[str]) -> Study:
    node = composer.compose([f"+study={name}", *overrides]).study
    try:
        study: Study = instantiate(node, _convert_="all", _recursive_=False)
    except InstantiationException as error:
        raise ValueError(f"study {name}: {error.__cause__ or error}") from error
    return study
