"""Build the parts of a run from its configuration, and refuse those that make no sense."""

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import nn

from losslab.data import Dataset
from losslab.diagnostics import Diagnostic, check_cadences
from losslab.experiment.compose import nearest
from losslab.losses import MAP, FlatPrior, Loss
from losslab.seeding import derive
from losslab.training import Schedule, Trainer, resolve_device


@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    Attributes:
        dataset: Its pictures and labels.
        model: On the CPU, with the initial weights of the seed.
        objective: What training lowers.
        make_optimizer: From parameters to an optimizer.
        schedule: From progress to the factor on the learning rate.
        trainer: The settings of the loop.
        diagnostics: By name.
        device: Where it computes.
    """

    dataset: Dataset
    model: nn.Module
    objective: MAP
    make_optimizer: Callable[..., torch.optim.Optimizer]
    schedule: Schedule
    trainer: Trainer
    diagnostics: dict[str, Diagnostic]
    device: torch.device


def build(config: DictConfig) -> Parts:
    """Instantiate all parts; nothing is written.

    The optimizer itself is left to the run: making the first one of a process imports torch's
    compiler, which takes seconds that a command which only checks a sweep should not spend.

    Raises:
        ValueError: A value is out of range, something that is named is not there, or two choices
            do not go together.
    """
    trainer: Trainer = make(config.trainer, "trainer")
    device = resolve_device(trainer.device)
    schedule = make(config.schedule, "schedule")
    _check_optimizer(config.optimizer)
    make_optimizer = make(config.optimizer, "optimizer")
    diagnostics: dict[str, Diagnostic] = {
        str(name): make(node, f"diagnostics.{name}") for name, node in config.diagnostics.items()
    }
    check_cadences(diagnostics)
    dataset = _load(OmegaConf.to_yaml(config.data, resolve=True))
    num_train = len(dataset.train.labels)
    if trainer.batch_size > num_train:
        raise ValueError(
            f"trainer.batch_size={trainer.batch_size} is more than the {num_train} training "
            f"examples of data={dataset.name}; give 1 to {num_train}"
        )
    # Weights are drawn on the CPU from a stream of their own, so that they are the same for every
    # loss and on every device.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(config.seed, "weights"))
        model = make(
            config.model,
            "model",
            input_shape=dataset.input_shape,
            num_classes=dataset.num_classes,
        )
    objective = _objective(config, num_train, make_optimizer)
    return Parts(dataset, model, objective, make_optimizer, schedule, trainer, diagnostics, device)


def make(node: DictConfig, name: str, **arguments: Any) -> Any:
    """Instantiate a node; errors are ``ValueError`` and begin with the group's name."""
    fixed = sorted(set(arguments) & set(map(str, node)))
    if fixed:
        raise ValueError(
            f"{name}.{fixed[0]}={node[fixed[0]]} follows from the data, which give "
            f"{arguments[fixed[0]]}; leave it out"
        )
    try:
        return instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        raise ValueError(_reason(error, node, name)) from error


def _reason(error: InstantiationException, node: DictConfig, name: str) -> str:
    cause = error.__cause__ or error
    reason = " ".join(str(cause).split())
    unknown = re.search(r"unexpected keyword argument '(\w+)'", reason)
    values = {str(key): node[key] for key in node if not str(key).startswith("_")}
    if unknown:
        key = unknown.group(1)
        return f"unknown key '{name}.{key}'{nearest(key, values.keys() - {key})}"
    if not isinstance(cause, ValueError | ImportError | InstantiationException):
        # A wrong type, say: the message that Python makes of it names no value.
        given = ", ".join(f"{key}={value}" for key, value in values.items())
        reason = f"{reason} (given: {given})"
    return reason if reason.startswith(f"{name}.") else f"{name}: {reason}"


# A sweep checks many configurations of the same data.
@lru_cache(maxsize=2)
def _load(yaml: str) -> Dataset:
    node = OmegaConf.create(yaml)
    assert isinstance(node, DictConfig)
    dataset: Dataset = make(node, "data")
    return dataset


def _objective(
    config: DictConfig, num_train: int, make_optimizer: Callable[..., torch.optim.Optimizer]
) -> MAP:
    node = config.loss.copy()
    if OmegaConf.is_missing(node, "num_train"):
        with open_dict(node):
            node.num_train = num_train
    loss: Loss | MAP = make(node, "loss")
    if not isinstance(loss, MAP):
        return MAP(loss, FlatPrior(), num_train=num_train)  # maximum likelihood is a flat prior
    # Of the optimizer, not of the configuration: AdamW's default is not 0.
    argument = inspect.signature(make_optimizer).parameters.get("weight_decay")
    decay = argument.default if argument else 0.0
    if not isinstance(loss.prior, FlatPrior) and decay != 0:
        raise ValueError(
            f"the loss has a prior and optimizer.weight_decay={decay}: the weights would be "
            "penalised twice; set optimizer.weight_decay=0 or choose a loss without a prior"
        )
    return loss


def _check_optimizer(node: DictConfig) -> None:
    """Check ranges and names: torch does so only when the optimizer is made, in the run."""
    limits = {"lr": (0.0, math.inf), "momentum": (0.0, 1.0), "weight_decay": (0.0, math.inf)}
    for name, (least, limit) in limits.items():
        if name not in node:
            continue
        value = node[name]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not least <= value < limit or (name == "lr" and value == 0):
            allowed = "above 0" if name == "lr" else f"from {least:g} up"
            below = "" if math.isinf(limit) else f" and below {limit:g}"
            raise ValueError(f"optimizer.{name}={value}; give a number {allowed}{below}")
    for name in ("nesterov", "amsgrad", "maximize", "fused"):
        if name in node and not isinstance(node[name], bool):
            raise ValueError(f"optimizer.{name}={node[name]}; give true or false")
    partial = make(node, "optimizer")
    known = inspect.signature(partial.func).parameters
    unknown = [name for name in partial.keywords if name not in known]
    if unknown:
        raise ValueError(
            f"optimizer has no argument {unknown[0]!r}; allowed are "
            f"{', '.join(name for name in known if name != 'params')}"
        )
    try:
        partial([])
    except Exception as error:  # whatever torch's optimizers make of wrong values
        # They check their values first, and miss the parameters last.
        if "empty parameter list" not in str(error):
            given = ", ".join(f"{name}={value}" for name, value in partial.keywords.items())
            raise ValueError(f"optimizer: {error} (given: {given})") from error
