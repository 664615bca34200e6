"""Which run a configuration is: the hash of what can change its result, and its folder's name."""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import Container, DictConfig, OmegaConf

from losslab.experiment.compose import CONFIG_FOLDER, usual_choices
from losslab.recording import RunDirectory
from losslab.training.device import resolve_device

# What cannot change a result: where things are, how often something is written, who launches.
# The folder of one's own pictures (data=image_folder) is in the identity as data.dataset.
_WITHOUT_EFFECT = (
    "name",
    "output_dir",
    "force",
    "data.root",
    "data.cache_dir",
    "data.download",
    "trainer.log_every",
    "trainer.checkpoint_every",
)
_LONGEST_DESCRIPTION = 100


@dataclass(frozen=True)
class RunIdentity:
    """Where a run's results are.

    Attributes:
        group: Readable and unique name of the configuration without its seed.
        digest: Eight hex digits of the hash of what can change a result, without the seed.
        seed: The run's seed.
        directory: Its folder.
    """

    group: str
    digest: str
    seed: int
    directory: RunDirectory


def identify(config: DictConfig, choices: dict[str, str]) -> RunIdentity:
    """Return the identity of a configuration.

    Args:
        config: As composed, without Hydra's node.
        choices: Group to choice.

    Raises:
        ValueError: The device is not there, or a name leads out of the output folder.
    """
    digest = digest_of(config)
    group = f"{_description(config, choices)}-{digest}"
    name, seed = str(config.name), config.seed
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", name) or ".." in name.split("/"):
        raise ValueError(
            f"name={name}; give a folder name of letters, digits, '.', '_' and '-', "
            "inside output_dir"
        )
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise ValueError(f"seed={seed}; give a whole number from 0 up")
    path = Path(config.output_dir) / name / group / f"seed={seed}"
    return RunIdentity(group=group, digest=digest, seed=seed, directory=RunDirectory(path))


def digest_of(config: DictConfig) -> str:
    """Return eight hex digits of SHA-256 of what can change a result, seed apart."""
    values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    for key in (*_WITHOUT_EFFECT, "seed", "hydra", "loss.num_train"):
        *parents, last = key.split(".")
        node: Any = values
        for parent in parents:
            node = node.get(parent) or {}
        node.pop(last, None)
    # Which of several equal devices computes does not matter; which kind does, in the last bits.
    values["trainer"]["device"] = resolve_device(str(config.trainer.device)).type
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _description(config: DictConfig, choices: dict[str, str]) -> str:
    """Return the loss, the other choices and values that are not the default, and the rate."""
    usual = usual_choices()
    parts = [choices["loss"]]
    parts += [
        choice
        for group, choice in choices.items()
        if group in config and group != "loss" and choice != usual.get(group)
    ]
    parts.append(f"lr={config.optimizer.lr}")
    for group, choice in choices.items():
        if group not in config:
            continue
        usual_values = _usual_values(group, choice)
        for key, value in _flat(config[group]).items():
            full = f"{group}.{key}"
            if full in ("optimizer.lr", "loss.num_train", *_WITHOUT_EFFECT):
                continue
            if value != usual_values.get(key, value):
                parts.append(f"{key.split('.')[-1]}={value}")
    readable = "-".join(re.sub(r"[^\w.=+-]", "_", part) for part in parts)
    return readable[:_LONGEST_DESCRIPTION].rstrip("-.")


@cache
def _usual_values(group: str, choice: str) -> dict[str, str]:
    path = CONFIG_FOLDER / group / f"{choice}.yaml"
    return _flat(OmegaConf.load(path)) if path.exists() else {}


def _flat(config: Container) -> dict[str, str]:
    """Return dotted key to value as text; interpolations as they stand."""
    values: dict[str, str] = {}
    container: Any = OmegaConf.to_container(config, resolve=False)

    def visit(node: Any, name: str) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                visit(value, f"{name}.{key}" if name else str(key))
        else:
            values[name] = str(node)

    visit(container, "")
    return values
