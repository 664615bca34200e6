"""Instantiate nodes of the configuration; every failure is a ``ValueError``."""

import math
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from losslab.experiment.arguments import check_arguments, is_number, needed
from losslab.text import out_of_memory

if TYPE_CHECKING:
    import torch

MakeOptimizer = Callable[..., "torch.optim.Optimizer"]


def make(
    node: DictConfig, name: str, *, kind: Any = object, recursive: bool = True, **arguments: Any
) -> Any:
    """Instantiate a node, whose dotted key is ``name``, as a ``kind``.

    ``arguments`` follow from the data, so the node must not set them. If ``recursive``, nested
    nodes are instantiated as well.
    """
    check_arguments(node, name, supplied=arguments, recursive=recursive)
    try:
        made = instantiate(node, _convert_="all", _recursive_=recursive, **arguments)
    except SystemExit as error:  # a custom module written as a script
        raise ValueError(f"{name}: SystemExit: {first_words(error)}") from error
    except InstantiationException as error:
        # A target may take **kwargs and pass them on to one that does not.
        passed_on = any(f"unexpected keyword argument '{key}'" in str(error) for key in arguments)
        raise ValueError(_reason(error, name) + (needed(name) if passed_on else "")) from error
    if not isinstance(made, kind):
        raise ValueError(
            f"{name}._target_={node._target_} returns {type(made).__name__}; "
            f"{kind.__name__} is needed{needed(name)}"
        )
    return made


def make_optimizer_factory(node: DictConfig) -> MakeOptimizer:
    """Return a function from parameters to an optimizer, after checking its arguments.

    No optimizer is created: the first one in a process imports torch's compiler, which takes
    seconds.
    """
    limits = {"lr": (0.0, math.inf), "momentum": (0.0, 1.0), "weight_decay": (0.0, math.inf)}
    for name, (least, limit) in limits.items():
        if name not in node:
            continue
        value = node[name]
        if not is_number(value) or not least <= value < limit or (name == "lr" and value == 0):
            lower = "above 0" if name == "lr" else f"≥ {least:g}"
            upper = "" if math.isinf(limit) else f" and below {limit:g}"
            raise ValueError(f"optimizer.{name}={value}; give a number {lower}{upper}")
    if node.get("_partial_") is not True:
        rule = "give true, since the parameters come with the model"
        raise ValueError(f"optimizer._partial_={node.get('_partial_')}; {rule}")
    variants = [name for name in ("fused", "foreach", "differentiable") if node.get(name) is True]
    if len(variants) > 1:
        chosen = ", ".join(f"optimizer.{name}=true" for name in variants)
        raise ValueError(f"{chosen} exclude each other; choose one, e.g. optimizer.fused=false")
    factory: partial[Any] = make(node, "optimizer", kind=partial)
    try:
        factory([])
    except Exception as error:  # optimizers raise various errors for wrong values
        # They check their arguments first, and complain about missing parameters last.
        if "empty parameter list" not in str(error):
            arguments = ", ".join(f"{name}={value}" for name, value in factory.keywords.items())
            raise ValueError(f"optimizer: {first_words(error)} (given: {arguments})") from error
    return factory


def _reason(error: InstantiationException, name: str) -> str:
    cause = error.__cause__ or error
    reason = first_words(cause).partition(" full_key:")[0]
    if not (isinstance(cause, ValueError | InstantiationException) or out_of_memory(cause)):
        reason = f"{type(cause).__name__}: {reason}"
    key = re.search(r"full_key: (\S+)", str(error))
    path = key[1] if key else name
    if not f"{path}.".startswith(f"{name}."):  # the node was detached from its tree
        path = f"{name}.{path}"
    return reason if reason.startswith(f"{name}.") else f"{path}: {reason}"


def first_words(error: BaseException) -> str:
    """Return an error's message in one line, without the stack trace of torch's C++ code."""
    message = out_of_memory(error) or str(error).partition("\nException raised from")[0]
    return " ".join(message.split()) or type(error).__name__
