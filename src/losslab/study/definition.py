"""A study as data: arms, a grid, fresh seeds and claims, from ``conf/study/NAME.yaml``."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf

from losslab.experiment import Composer


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One side of comparisons.

    Attributes:
        label: For tables and figures.
        overrides: What makes it, e.g. ``["loss=mse"]``.
    """

    label: str
    overrides: list[str]


@dataclass(frozen=True, kw_only=True)
class Study:
    """Tune each arm on a grid, confirm on fresh seeds, judge the claims.

    Attributes:
        name: File name in ``conf/study``.
        title: Of the report.
        question: What it answers.
        base: Overrides of every run.
        arms: By name, in the order of display.
        reference: The arm at whose best value the others are confirmed, too.
        parameter: The key that is tuned, e.g. ``optimizer.lr``.
        values: Its grid.
        select: The tag whose mean over the tuning seeds chooses a value.
        tune_seeds: Of the grid.
        confirm_seeds: Of the comparison; none of the tuning seeds.
        claims: As the report reads them.

    Raises:
        ValueError: The parts do not fit.
    """

    name: str
    title: str
    question: str
    base: list[str]
    arms: dict[str, Arm]
    reference: str
    parameter: str
    values: list[float]
    select: str
    tune_seeds: list[int]
    confirm_seeds: list[int]
    claims: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.reference not in self.arms:
            raise ValueError(
                f"study.reference={self.reference}; give one of the arms {', '.join(self.arms)}"
            )
        both = set(self.tune_seeds) & set(self.confirm_seeds)
        if both:
            raise ValueError(
                f"the study's seeds {sorted(both)} tune and confirm; a comparison needs fresh ones"
            )
        for name in ("values", "tune_seeds", "confirm_seeds"):
            if not getattr(self, name):
                raise ValueError(f"study.{name} is empty; give at least one")
        for claim in self.claims:
            for side in ("left", "right"):
                if claim[side]["arm"] not in self.arms:
                    raise ValueError(
                        f"claim {claim['id']} is about the arm {claim[side]['arm']!r}; "
                        f"the study has {', '.join(self.arms)}"
                    )


def studies(composer: Composer) -> list[str]:
    """Return the names of all studies."""
    return composer.choices("study")


def load_study(composer: Composer, name: str, overrides: list[str]) -> Study:
    """Read a study.

    Args:
        composer: Open.
        name: Of a file in ``conf/study``.
        overrides: Changes to the study itself, e.g. ``study.tune_seeds=[0]``.

    Raises:
        ValueError: No such study or key, or its parts do not fit.
    """
    node = composer.compose([f"+study={name}", *overrides]).study
    values: dict[str, Any] = OmegaConf.to_container(node, resolve=True)  # type: ignore[assignment]
    arms = {arm: Arm(**about) for arm, about in values.pop("arms").items()}
    return Study(name=name, arms=arms, **values)
