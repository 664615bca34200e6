"""Parse plain data from files and configurations into dataclasses, with one-line errors."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

T = TypeVar("T")

_ADVICE = {
    **dict.fromkeys(("list_type", "tuple_type"), "give a list"),
    **dict.fromkeys(("dict_type", "dataclass_type"), "give keys and values"),
    **dict.fromkeys(("float_type", "float_parsing"), "give a number"),
    **{"int_type": "give a whole number", "string_type": "give text"},
}

_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


class Strict:
    """Base class of dataclasses that reject unknown keys, which are usually typos."""

    __pydantic_config__ = ConfigDict(extra="forbid")


def parse(kind: type[T], data: object, name: str = "") -> T:
    """Return plain data as an instance of ``kind``, any type that pydantic supports.

    Raises:
        ValueError: A value is invalid. The message has its key, starting with ``name``, the value
            and what is allowed.

    >>> parse(tuple[float, ...], [1, 2])
    (1.0, 2.0)
    >>> parse(dict[str, list[float]], {"values": 3}, "study")
    Traceback (most recent call last):
    ValueError: study.values=3; give a list
    """
    try:
        parsed: T = _adapter(kind).validate_python(data)
        return parsed
    except ValidationError as error:
        errors = error.errors(include_url=False)
        unknown = [each for each in errors if each["type"] == "unexpected_keyword_argument"]
        first = (unknown or errors)[0]  # a misspelt key is also missing
        error_type, message = first["type"], first["msg"]
        if error_type == "value_error":  # raised by the dataclass, with a complete message
            raise ValueError(message.removeprefix("Value error, ")) from None
        key = ".".join(_path(first["loc"], data, name))
        if error_type == "missing":
            raise ValueError(f"{key} is missing; give it") from None
        if error_type == "unexpected_keyword_argument":
            *above, word = first["loc"]
            missing = [
                str(each["loc"][-1])
                for each in errors
                if each["type"] == "missing" and each["loc"][:-1] == (*above,)
            ]
            close = get_close_matches(str(word), missing, n=1)
            meant = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(f"{key} is unknown{meant}; correct it or leave it out") from None
        value = " ".join(repr(first["input"]).split())
        value = value if len(value) <= 80 else f"{value[:79]}…"
        advice = _ADVICE.get(error_type, f"{message[0].lower()}{message[1:]}")
        raise ValueError(f"{key}={value}; {advice}") from None


def _path(keys: tuple[int | str, ...], node: Any, name: str) -> list[str]:
    """Return the keys that lead to a value, with the ``id`` of entries that have one."""
    path = [name] if name else []
    for key in keys:
        try:
            node = node[key]
        except (TypeError, KeyError, IndexError):
            node = None
        path.append(str(node.get("id", key) if isinstance(node, Mapping) else key))
    return path
