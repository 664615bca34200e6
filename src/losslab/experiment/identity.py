"""The identity of a run: a hash of everything that affects its result, and its folder's name."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, open_dict

from losslab.experiment.arguments import defaults, normal, resolved_values
from losslab.experiment.compose import CONFIG_FOLDER, SWEEP_GROUPS, default_choices, flat
from losslab.experiment.data import CONTENT, content_of, is_custom
from losslab.experiment.warm_start import checksum
from losslab.files import check_yaml, read_yaml
from losslab.recording import Run, flatten
from losslab.text import nearest
from losslab.training.device import resolve_device

# Keys without effect on results: locations, and how often something is written.
_WITHOUT_EFFECT = (
    *("name", "output_dir", "force", "data.root", "data.cache_dir", "data.download"),
    *("trainer.log_every", "trainer.checkpoint_every"),
    *("trainer.pictures_every", "trainer.histograms_every", "trainer.all_tags"),
)
# Except for a custom data source, which may read anything there.
_WITH_EFFECT_ON_CUSTOM = ("data.root", "data.download")
_PLAIN_KEYS = ("seed", "init_from", "name", "output_dir", "force")
# Engines change results, in the last bits, only if runs are stacked.
_OF_STACKS = ("trainer.engine", "trainer.stack_size")
_FILLED_IN = "loss.num_train"  # by the experiment
_START = "init_sha256"
_NOT_IN_NAMES = ("optimizer.lr", "trainer.device", "trainer.engine", _FILLED_IN, *_WITHOUT_EFFECT)
_LONGEST_DESCRIPTION = 100
IN_NAMES = 8
"""Hex digits of a configuration's hash in the names of folders."""
_LONGEST_NAME = 200  # bytes; file systems take 255


def plan_run(config: DictConfig, choices: dict[str, str], command: str = "") -> Run:
    """Return the run of a composed configuration; write nothing.

    ``choices`` maps group to choice, ``command`` reproduces the run. ``ValueError`` for an unknown
    key, a missing value or missing weights, or a name that leads out of the output folder.
    """
    _check_keys(config)
    config = normal(_with_usual_arguments(config, choices))
    if CONTENT not in config and (content := content_of(config.data)) is not None:
        config = config.copy()
        with open_dict(config):
            config[CONTENT] = content
    digest = _digest(config)
    seed = config.seed
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise ValueError(f"seed={seed}; give a whole number ≥ 0")
    run = Run(
        root=folder_of(config),
        group=f"{_description(config, choices)}-{digest[:IN_NAMES]}",
        seed=seed,
        digest=digest,
        composed=config,
        choices=choices,
        command=command,
    )
    _inside(run.path, config.output_dir)
    return run


def _with_usual_arguments(config: DictConfig, choices: Mapping[str, str]) -> DictConfig:
    """Undo overrides that only add or remove arguments at their default values.

    ``+optimizer.maximize=false`` is removed again; ``~optimizer.momentum`` is restored with its
    default. Both describe the same run as the chosen file.
    """
    container: Any = OmegaConf.to_container(config, resolve=False)
    changed = {}
    for group, choice in choices.items():
        node, usual = container.get(group), _choice_file(group, choice)
        if usual and isinstance(node, dict) and (as_usual := _as_usual(node, usual)) != node:
            changed[group] = as_usual
    return DictConfig(container | changed) if changed else config


def _as_usual(node: dict[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    target = node.get("_target_")
    if target is not None and target != usual.get("_target_"):
        return node
    default = defaults(target) if isinstance(target, str) else {}
    kept: dict[str, Any] = {}
    for key in [*node, *(key for key in usual if key not in node and key in default)]:
        value = node.get(key, default.get(key))
        if isinstance(value, dict) and isinstance(usual.get(key), Mapping):
            value = _as_usual(value, usual[key])
        # To Python, true is 1.
        same_type = isinstance(value, bool) is isinstance(default.get(key), bool)
        if key in usual or key not in default or value != default[key] or not same_type:
            kept[key] = value
    return kept


def folder_of(config: DictConfig) -> Path:
    """Return the folder of a name's runs; ``ValueError`` if it is outside the output folder."""
    name = str(resolved_values(config)["name"])
    words = set(name.split("/"))
    too_long = max(len(word.encode()) for word in words) > _LONGEST_NAME
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", name) or {".", ".."} & words or too_long:
        raise ValueError(
            f"name={name}; give a folder name of at most {_LONGEST_NAME} letters, digits, "
            "'.', '_' and '-', inside output_dir"
        )
    return _inside(Path(config.output_dir).expanduser() / name, config.output_dir)


def _inside(path: Path, output_dir: str) -> Path:
    # Files there are also removed.
    if not path.resolve().is_relative_to(Path(output_dir).expanduser().resolve()):
        raise ValueError(
            f"{path} leads outside output_dir={output_dir} through a symbolic link; give the "
            "folder that it leads to as output_dir=..."
        )
    return path


def _check_keys(config: DictConfig) -> None:
    allowed = [*default_choices(), *_PLAIN_KEYS]
    present = set(map(str, config)) - {"hydra", CONTENT}
    if unknown := sorted(present - set(allowed)):
        meant = nearest(unknown[0], allowed)
        raise ValueError(f"unknown key {unknown[0]!r}{meant}; allowed are {', '.join(allowed)}")
    absent = [key for key in allowed if key not in present and key not in SWEEP_GROUPS]
    for group in present & set(default_choices()):
        if not OmegaConf.is_dict(config[group]):
            rule = f"give a choice of {group}, or keys and values"
            raise ValueError(f"{group}={config[group]}; {rule}")
    absent += [key for key, value in flat(config).items() if value == "???" and key != _FILLED_IN]
    if absent:
        raise ValueError(f"{absent[0]} has no value; give {absent[0]}=...")
    values = resolved_values(config)
    for key, kind in {"name": str, "output_dir": str, "force": bool}.items():
        if not isinstance(values[key], kind) or values[key] == "":
            allowed_values = "true or false" if kind is bool else "the name of a folder"
            raise ValueError(f"{key}={values[key]}; give {allowed_values}")


def resolved(config: DictConfig) -> str:
    """Return the configuration that a run stores, with the checksum of ``init_from``, as YAML."""
    kept = config.copy()
    if config.init_from is not None:
        with open_dict(kept):
            kept[_START] = checksum(config.init_from)
    return OmegaConf.to_yaml(kept, resolve=True)


def stored_configuration(text: str) -> DictConfig:
    """Parse the configuration that a run stored; an altered one may raise anything."""
    check_yaml(text)
    config = OmegaConf.create(text)
    assert isinstance(config, DictConfig)
    return config


def over_seeds(run: Run) -> str:
    """Return the name that a planned run's configuration shares with its other seeds.

    The group's, unless each seed starts from its own weights (``init_from=.../seed=${seed}``).
    """
    written: Any = OmegaConf.to_container(run.composed, resolve=False)
    if "${seed}" not in str(written["init_from"]):
        return run.group
    digest = _digest(run.composed, start=written["init_from"])
    return f"{run.group.removesuffix(run.digest[:IN_NAMES])}{digest[:IN_NAMES]}"


def is_of(run: Run, kept: DictConfig) -> bool:
    """Return whether the configuration stored in a run's directory is that of this run."""
    return bool(_digest(normal(kept)) == run.digest and kept.seed == run.seed)


def is_stored_in(run: Run, file: Path) -> bool:
    """Return whether a ``config.yaml`` is intact and has the configuration of this run.

    ``FileNotFoundError`` or ``NotADirectoryError`` if there is none.
    """
    try:
        text = read_yaml(file)
        # An altered file could refer to itself.
        return "${" not in text and is_of(run, stored_configuration(text))
    except (FileNotFoundError, NotADirectoryError):
        raise
    except Exception:  # an altered file can raise anything
        return False


def _digest(config: DictConfig, *, start: str | None = None) -> str:
    """Return the SHA-256, in hex digits, of everything that affects a result but the seed.

    ``config`` is in normal form; ``start`` replaces the checksum of a warm start's weights.
    """
    values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    left_out = {*_WITHOUT_EFFECT, "seed", "hydra", _FILLED_IN}
    if is_custom(config.data):
        left_out -= {*_WITH_EFFECT_ON_CUSTOM}
    elif CONTENT in values:
        left_out.add("data.dataset")  # a name, by default the folder's place
    if values["trainer"].get("engine") != "stacked":
        left_out |= {*_OF_STACKS}
    remove(values, left_out)
    # The content of the weights counts, not their location.
    weights, kept = values.pop("init_from", None), values.pop(_START, None)
    if weights is not None:
        values[_START] = start or kept or checksum(weights)
    # The kind of device affects the last bits. This machine may lack it: a sweep can be started
    # where there is no GPU.
    device = str(config.trainer.device)
    kind = resolve_device(device).type if device == "auto" else device.partition(":")[0]
    values["trainer"]["device"] = kind
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def remove(values: dict[str, Any], keys: Iterable[str]) -> None:
    """Remove dotted keys from nested dictionaries, if present."""
    for key in keys:
        *parents, name = key.split(".")
        node = values
        for parent in parents:
            node = node.get(parent) or {}
        node.pop(name, None)


def _description(config: DictConfig, choices: dict[str, str]) -> str:
    """Return the loss, other non-default choices, a warm start, the rate and non-default values."""
    usual, chosen = default_choices(), {g: c for g, c in choices.items() if g in config}
    parts = [choices["loss"]]
    parts += [c for group, c in chosen.items() if group != "loss" and c != usual.get(group)]
    if config.init_from is not None:
        parts.append("warm")
    if "lr" in config.optimizer:  # a custom optimizer may have none
        parts.append(f"lr={config.optimizer.lr}")
    for group, choice in chosen.items():
        usual_values = flatten(_choice_file(group, choice), f"{group}.")
        for key, value in flat(config[group], f"{group}.").items():
            # Device and engine are left to the hash: auto and its resolved value are the same run.
            if key not in _NOT_IN_NAMES and str(value) != str(usual_values.get(key, value)):
                *parents, name = key.split(".")
                if name == "_target_":  # shown as prior=GaussianPrior
                    name, value = parents[-1], str(value).rpartition(".")[2]
                parts.append(f"{name}={value}")
    readable = "-".join(re.sub(r"[^\w.=+-]", "_", part) for part in parts)
    return readable[:_LONGEST_DESCRIPTION].rstrip("-.")


@cache
def _choice_file(group: str, choice: str) -> dict[str, Any]:
    path = CONFIG_FOLDER / group / f"{choice}.yaml"
    values = OmegaConf.to_container(OmegaConf.load(path)) if path.exists() else {}
    return cast("dict[str, Any]", values)
