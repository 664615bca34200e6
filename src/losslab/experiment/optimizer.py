"""An optimizer that waits for its parameters, its values checked."""

import math
from collections.abc import Callable
from functools import partial

import torch
from omegaconf import DictConfig

from losslab.experiment.arguments import is_number
from losslab.experiment.make import first_words, make

MakeOptimizer = Callable[..., torch.optim.Optimizer]


def make_optimizer_factory(node: DictConfig) -> MakeOptimizer:
    """Return what makes the optimizer of parameters.

    The optimizer itself is left to the run: making the first one of a process imports torch's
    compiler, which takes seconds that a command which only checks a sweep should not spend.

    Raises:
        ValueError: A value is out of range, or some do not go together.
    """
    limits = {"lr": (0.0, math.inf), "momentum": (0.0, 1.0), "weight_decay": (0.0, math.inf)}
    for name, (least, limit) in limits.items():
        if name not in node:
            continue
        value = node[name]
        if not is_number(value) or not least <= value < limit or (name == "lr" and value == 0):
            allowed = "above 0" if name == "lr" else f"from {least:g} up"
            below = "" if math.isinf(limit) else f" and below {limit:g}"
            raise ValueError(f"optimizer.{name}={value}; give a number {allowed}{below}")
    if node.get("_partial_") is not True:
        raise ValueError(
            f"optimizer._partial_={node.get('_partial_')}; give true, since the parameters come "
            "with the model"
        )
    implementations = [
        name for name in ("fused", "foreach", "differentiable") if node.get(name) is True
    ]
    if len(implementations) > 1:
        chosen = ", ".join(f"optimizer.{name}=true" for name in implementations)
        raise ValueError(f"{chosen} exclude each other; choose one, e.g. optimizer.fused=false")
    factory: partial[torch.optim.Optimizer] = make(node, "optimizer", kind=partial)
    try:
        factory([])
    except Exception as error:  # whatever torch's optimizers make of wrong values
        # They check their values first, and miss the parameters last.
        if "empty parameter list" not in str(error):
            given = ", ".join(f"{name}={value}" for name, value in factory.keywords.items())
            raise ValueError(f"optimizer: {first_words(error)} (given: {given})") from error
    return factory
