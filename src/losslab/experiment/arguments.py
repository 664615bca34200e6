"""Check a node's keys and values against the signature of its target, with pydantic.

Python and torch notice wrong values late, and their errors name no key.
"""

import inspect
import json
import math
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import AfterValidator, ConfigDict, PydanticUserError, TypeAdapter
from pydantic_core import SchemaError

from losslab.experiment.hydra_private import import_target
from losslab.experiment.target_allowlist import check_definition, check_name, targets
from losslab.recording import flatten
from losslab.text import nearest

_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a name",
    Path: "a path",
    NoneType: "null",
    dict: "keys and values",
    Mapping: "keys and values",
}
_NODE = "keys and values, with a _target_ among them"
_NEEDED = {
    "loss": "a class, e.g. class Mine(torch.nn.Module) with forward(self, logits, target)",
    "model": "a class or function of the data's shapes, e.g. def mine(input_shape, num_classes): "
    "return torchvision.models.resnet18(num_classes=num_classes)",
    "schedule": "a function from the progress in [0, 1) to the factor on the learning rate, e.g. "
    "def mine(progress): return 0.5 ** (10 * progress); torch's own schedulers do not fit",
}


def check_arguments(
    node: DictConfig, name: str, *, supplied: Collection[str] = (), recursive: bool = True
) -> None:
    """Check that a node's target could be called with its values.

    Args:
        node: Has a ``_target_``.
        name: Its dotted key.
        supplied: Arguments that follow from the data, so the node must not set them.
        recursive: Whether to check nested nodes, which are then instantiated as well.

    Raises:
        ValueError: A target that is not allowed or cannot be imported, an unknown key, an argument
            without a value, or a value of the wrong type.
    """
    values: Any = OmegaConf.to_container(node, resolve=True)
    if recursive:
        for path, key in targets(values, name):
            _target({"_target_": path}, key)
    _check(values, name, supplied=supplied, recursive=recursive)


def is_number(value: object) -> bool:
    """Return whether a value from a file is a number that fits a float."""
    if isinstance(value, bool):
        return False
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= sys.float_info.max)


def _check(
    values: Mapping[str, Any], name: str, *, supplied: Collection[str] = (), recursive: bool = True
) -> None:
    target = _target(values, name)
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):  # some C functions have no signature
        return
    hints = _hints(target)
    named = [p for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    partial = values.get("_partial_") is True
    # The first argument of a partial is supplied later, such as an optimizer's parameters.
    later = {p.name for p in named[:1] if partial and p.default is p.empty}
    allowed = [p.name for p in named if p.name not in {*supplied, *later} - values.keys()]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    path = f"{name}._target_={values['_target_']}"
    arguments = {key: value for key, value in values.items() if not key.startswith("_")}
    nodes = {key: v for key, v in arguments.items() if isinstance(v, dict) and "_target_" in v}
    for key in arguments.keys() & set(supplied):
        raise ValueError(f"{name}.{key}={arguments[key]} follows from the data; leave it out")
    for key in () if takes_any else supplied:
        if key not in parameters:
            raise ValueError(f"{path} takes no {key}{needed(name)}")
    unknown = {key: value for key, value in arguments.items() if key not in allowed}
    if unknown and not takes_any:
        key = f"{name}.{min(unknown)}"
        meant = nearest(key, [f"{name}.{word}" for word in allowed])
        rule = f"allowed below {name} are {', '.join(allowed) or 'none'}"
        raise ValueError(f"unknown key {key!r}{meant}; {rule}")
    for key in arguments.keys() - unknown.keys() - nodes.keys():
        try:
            _converted(arguments[key], hints.get(key, Any))
        except ValueError:
            rule = f"give {_described(hints[key])}"
            raise ValueError(f"{name}.{key}={arguments[key]}; {rule}") from None
    for key, node in nodes.items() if recursive else ():
        _check(node, f"{name}.{key}")
    partials = [node for node in nodes.values() if node.get("_partial_") is True]
    if unknown and len(partials) == 1:
        # Some targets, such as losslab.data.load, pass unknown arguments on to their partial.
        _check({"_target_": partials[0]["_target_"], "_partial_": True} | unknown, name)
    for p in () if partial else named:
        if p.default is p.empty and p.name not in arguments and p.name not in supplied:
            if name == "schedule" or (name == "loss" and not inspect.isclass(target)):
                raise ValueError(f"{path} needs {p.name}{needed(name)}")
            raise ValueError(f"{name}.{p.name} has no value; give +{name}.{p.name}=...")


def needed(name: str) -> str:
    """Return a description of what a part must be, with an example, where mistakes are common."""
    return f"; give {_NEEDED[name]}" if name in _NEEDED else ""


def normal(config: DictConfig) -> DictConfig:
    """Return a configuration in normal form, which is the same for equal configurations.

    Numbers have the type of their argument's annotation or default; ``-0.0`` becomes ``0.0``.
    """
    values: Any = resolved_values(config)
    changes = list(_changes({key: v for key, v in values.items() if isinstance(v, dict)}, ""))
    if changes:
        config = config.copy()
        for key, value in changes:
            OmegaConf.update(config, key, value)
    return config


def resolved_values(config: DictConfig) -> dict[str, Any]:
    """Return a configuration's values; ``ValueError`` for a broken reference."""
    try:
        values: Any = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        key, message = str(error.full_key), str(error)
        unresolved: Any = OmegaConf.to_container(config, resolve=False)
        if variable := re.search("Environment variable '(.+?)' not found", message):
            reason = f"the environment variable {variable[1]} is not set; set it, or give a value"
        elif absent := re.search("Interpolation key '(.+?)' not found", message):
            reason = f"there is no key {absent[1]!r}; see every key with `losslab train --cfg job`"
        elif "Recursive interpolation" in message:
            reason = "it refers to itself; give a value"
        else:
            reason = " ".join(message.partition("full_key:")[0].split())
        raise ValueError(f"{key}={flatten(unresolved).get(key)}: {reason}") from error
    return cast("dict[str, Any]", values)


def _changes(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the normal form of each value that is not in normal form."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _changes(item, f"{name}[{index}]")
    if not isinstance(value, dict):
        return
    kinds: dict[str, Any] = {}
    if "_target_" in value:
        # A target may take the arguments of its partial, such as those of data.source.
        partials = [
            (node, f"{name}.{key}")
            for key, node in value.items()
            if isinstance(node, dict) and node.get("_partial_") is True
        ]
        for node, key in (*partials, (value, name)):
            target = _target(node, key)
            is_plain = inspect.isclass(target) or inspect.isroutine(target)
            kinds |= _kinds(target if is_plain else type(target).__call__)
    for key, item in value.items():
        try:
            converted = _converted(item, kinds.get(key, Any))
        except ValueError:  # check_arguments reports it
            converted = item
        if repr(converted) != repr(item):
            yield f"{name}.{key}", converted
        else:
            yield from _changes(item, f"{name}.{key}" if name else str(key))


@cache
def _kinds(target: Any) -> dict[str, Any]:
    """Return argument to type, from annotations or defaults, base classes included."""
    kinds: dict[str, Any] = {}
    for part in reversed(target.__mro__) if inspect.isclass(target) else (target,):
        call = part.__dict__.get("__init__") if inspect.isclass(part) else part
        try:
            parameters = inspect.signature(call).parameters.values()  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        kinds |= {p.name: float for p in parameters if type(p.default) is float} | _hints(call)
    return kinds


@cache
def defaults(path: str) -> dict[str, Any]:
    """Return argument to default of a target, for the types that a file can hold."""
    try:
        parameters = inspect.signature(_target({"_target_": path}, "")).parameters.values()
    except (TypeError, ValueError):
        return {}
    plain = (bool, int, float, str, NoneType)
    return {p.name: p.default for p in parameters if isinstance(p.default, plain)}


def _target(values: Mapping[str, Any], name: str) -> Any:
    """Import the target of a node; ``ValueError`` if it cannot be imported or called."""
    path = values.get("_target_")
    if not isinstance(path, str) or not path:
        rule = "give the dotted name of a class or function, such as my_module.MyClass"
        raise ValueError(f"{name}._target_={path}; {rule}")
    try:
        check_name(path, name)
    except ValueError as error:
        raise ValueError(f"{error}{needed(name) if name == 'model' else ''}") from None
    try:
        target = import_target(path)
    except (Exception, SystemExit) as error:  # a custom module can raise anything
        cause = error.__cause__ or error
        reason = f"{type(cause).__name__}: {cause}".splitlines()[0]
        module, _, attribute = path.rpartition(".")
        meant = nearest(attribute, dir(sys.modules[module])) if module in sys.modules else ""
        top, advice = path.partition(".")[0], ""
        if isinstance(cause, ModuleNotFoundError) and cause.name == top:
            advice = f"; put {top}.py into the working folder or that of --config-dir"
        message = f"{name}._target_={path} cannot be imported{meant} ({reason}){advice}"
        raise ValueError(message) from error
    if not callable(target):
        raise ValueError(f"{name}._target_={path} is not a class or function; give one")
    check_definition(target, path, name)
    return target


def _hints(target: Any) -> dict[str, Any]:
    try:
        return get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except Exception:  # such as names imported for type checkers only
        return {}


def _converted(value: Any, hint: Any) -> Any:
    """Convert a value to its annotated type; ``ValueError`` if it does not fit."""
    adapter = _adapter(hint)
    if adapter is None or value == "???" or next(targets(value, ""), None):
        return value
    # As JSON, where a list may stand for a tuple and text for a path.
    return _like(adapter.validate_json(json.dumps(value), strict=True), value)


@cache
def _adapter(hint: Any) -> TypeAdapter[Any] | None:
    """Return the validator of an annotation, ``None`` if there is nothing to check."""
    if hint in (Any, object) or get_origin(hint) is Literal:
        return None  # targets check their words themselves
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticUserError, NameError):  # such as names imported for type checkers only
        return None
    except SchemaError:  # such as a protocol, which no value in a file satisfies
        return TypeAdapter(Annotated[Any, AfterValidator(_refuse)])


def _refuse(value: Any) -> Any:
    raise ValueError(value)


def _like(converted: Any, value: Any) -> Any:
    """Return a converted value as plain data: lists for tuples, text for paths, no −0.0."""
    if isinstance(value, list) and isinstance(converted, list | tuple):
        return list(map(_like, converted, value))
    if isinstance(value, dict) and isinstance(converted, dict):
        return {key: _like(converted[key], item) for key, item in value.items()}
    if type(converted) is float and type(value) in (int, float):
        if type(value) is int and not math.isfinite(converted):
            raise ValueError(f"{value} is too large")
        return converted + 0.0
    return value


def _described(hint: Any) -> str:
    kind, options = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        words = list(dict.fromkeys(_described(option) for option in options))
        return " or ".join([word for word in words if word != _NODE] or words)
    if kind is Literal:
        return " or ".join(map(str, options))
    if kind is tuple and Ellipsis not in options:
        return f"a list [{', '.join(_described(option) for option in options)}]"
    if kind in (list, tuple, Sequence, Collection, Iterable):
        return f"a list, each item {_described(options[0])}" if options else "a list"
    return _WORDS.get(kind, _NODE)
