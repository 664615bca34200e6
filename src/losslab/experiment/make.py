"""Make what a node of the configuration names; whatever goes wrong is a ``ValueError``."""

import re
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from losslab.experiment.arguments import check_arguments, needed


def make(
    node: DictConfig, name: str, *, kind: Any = object, recursive: bool = True, **arguments: Any
) -> Any:
    """Instantiate a node.

    Args:
        node: With a ``_target_``.
        name: Its dotted key.
        kind: What it must give.
        recursive: Whether the nodes below it are instantiated with it.
        **arguments: That follow from the data, and that the node must not have.

    Raises:
        ValueError: What :func:`~losslab.experiment.arguments.check_arguments` finds, or what the
            target itself says; or it gives something else.
    """
    check_arguments(node, name, supplied=arguments, recursive=recursive)
    try:
        made = instantiate(node, _convert_="all", _recursive_=recursive, **arguments)
    except SystemExit as error:  # of code that was written as a script
        raise ValueError(f"{name}: SystemExit: {first_words(error)}") from error
    except InstantiationException as error:
        # Of those that take any argument, and hand them on to what does not.
        handed_on = any(f"unexpected keyword argument '{key}'" in str(error) for key in arguments)
        raise ValueError(_reason(error, name) + (needed(name) if handed_on else "")) from error
    if not isinstance(made, kind):
        raise ValueError(
            f"{name}._target_={node._target_} gives {type(made).__name__}; "
            f"{kind.__name__} is needed{needed(name)}"
        )
    return made


def _reason(error: InstantiationException, name: str) -> str:
    cause = error.__cause__ or error
    reason = first_words(cause).partition(" full_key:")[0]
    if not isinstance(cause, ValueError | InstantiationException):
        reason = f"{type(cause).__name__}: {reason}"
    key = re.search(r"full_key: (\S+)", str(error))
    where = key.group(1) if key else name
    if not f"{where}.".startswith(f"{name}."):  # below a node that was taken out of its tree
        where = f"{name}.{where}"
    return reason if reason.startswith(f"{name}.") else f"{where}: {reason}"


def first_words(error: BaseException) -> str:
    """Return an error's message in one line, without the stack that torch's C++ part adds."""
    message = str(error).partition("\nException raised from")[0]
    return " ".join(message.split()) or type(error).__name__
