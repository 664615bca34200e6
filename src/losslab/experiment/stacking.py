"""Decide which runs can train together as one program."""

import json
from collections.abc import Iterable
from typing import Any

from omegaconf import DictConfig, OmegaConf

from losslab.experiment.identity import remove
from losslab.experiment.target_allowlist import targets
from losslab.recording import Run
from losslab.training.engines import MOST_LANES

# Keys that may differ within a stack, as may all arguments of the optimizer.
_MAY_DIFFER = (
    *("seed", "init_from", "loss", "schedule", "diagnostics", "name", "output_dir", "force"),
    *("data.label_noise", "data.noise_kind", "model.output_scale", "model.output_bias"),
    *("trainer.log_every", "trainer.checkpoint_every", "trainer.pictures_every"),
    *("trainer.histograms_every", "trainer.all_tags"),
)
_OPTIMIZERS = (
    *("torch.optim.SGD", "torch.optim.Adam", "torch.optim.AdamW"),
    "losslab.training.optimizers.nesterov",
)


def with_engine(config: DictConfig, *, cuda: bool) -> DictConfig:
    """Replace the engine ``auto`` in the configuration of a sweep's run.

    Whether runs are stacked is part of their identity. ``auto`` stacks only losslab's own parts, as
    a custom loss may have parameters and a custom model may draw random numbers.
    """
    if config.trainer.get("engine") != "auto" or not cuda:
        return config
    values: Any = OmegaConf.to_container(config, resolve=True)
    parts = [path for group in ("loss", "model") for path, _ in targets(values[group], group)]
    known = config.optimizer.get("_target_") in _OPTIMIZERS
    stacked = known and all(path.startswith("losslab.") for path in parts)
    stacked = stacked and config.trainer.precision != "bfloat16"
    chosen = config.copy()
    chosen.trainer.engine = "stacked" if stacked else "graph"
    return chosen


def stacks(runs: Iterable[Run]) -> list[list[Run]]:
    """Group runs into stacks, each to be trained by one process; some hold a single run."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_key(run), []).append(run)
    stacked = []
    for group in groups.values():
        # Bounded, as a process keeps the files of all its runs open.
        size = group[0].composed.trainer.get("stack_size") or MOST_LANES
        stacked += [group[start : start + size] for start in range(0, len(group), size)]
    return stacked


def _key(run: Run) -> str:
    """Return a key that the runs of a stack have in common."""
    config = run.composed
    if config.trainer.get("engine") != "stacked":
        return str(run.path)
    values: Any = OmegaConf.to_container(config, resolve=True)
    remove(values, _MAY_DIFFER)
    values["optimizer"] = values["optimizer"]["_target_"]
    return json.dumps(values, sort_keys=True, default=str)
