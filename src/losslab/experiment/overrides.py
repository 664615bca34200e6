"""Overrides, from the command line or from Python: quoting, and checks of choices."""

import difflib
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from losslab.text import nearest
from losslab.types import plain

_KEYWORDS = ("config_dir", "progress")
"""Arguments of the Python functions that are not overrides."""


def check_choices(
    overrides: Iterable[Override], choices: Callable[[str], list[str]], usual: Collection[str]
) -> None:
    """Reject unknown choices, and none or several where a run needs exactly one."""
    for override in overrides:
        group, text = override.key_or_group, override.input_line
        allowed = choices(group)
        if not allowed:
            continue
        rule = f"allowed are {', '.join(allowed)}"
        if override.is_delete() and group in usual:
            rule = f"give {group}=none" if "none" in allowed else rule
            raise ValueError(f"{text} removes what a run needs; {rule}")
        if override.is_delete():
            continue
        chosen = _chosen(override)
        if isinstance(override.value(), list) and group in usual:
            if group != "diagnostics":  # the only group with several: [margins,geometry]
                advice = f"give one, or sweep over them with -m {group}={','.join(chosen)}"
                raise ValueError(f"{text}: a run has one {group}; {advice}")
            if not chosen:
                raise ValueError(f"{text} is an empty list; give {group}=none")
        for value in chosen:
            if value not in allowed:
                parts = value.strip("\"'").split(",")
                if len(parts) > 1 and set(parts) <= set(allowed):  # from a keyword in Python
                    raise ValueError(f"{text} is one name; in Python, give a list: {group}={parts}")
                meant = nearest("none" if value == "null" else value, allowed)
                raise ValueError(f"unknown {group} {value!r}{meant}; {rule}")


def quoted(override: str) -> str:
    """Quote a value with ``=`` or ``~`` in it, such as a path, which Hydra cannot parse.

    >>> quoted("init_from=outputs/mse-lr=0.1/seed=${seed}")
    'init_from="outputs/mse-lr=0.1/seed=${seed}"'
    >>> quoted("data.root=~/images")
    'data.root="~/images"'
    >>> quoted("seed=0"), quoted("model.x='a=b'")
    ('seed=0', "model.x='a=b'")
    """
    key, _, value = override.partition("=")
    plain = re.sub(r"\$\{[^}]*\}", "", value)
    # Values with quotes, escapes or brackets are left to Hydra.
    if not re.search("[=~]", value) or re.search(r"""["'\\()\[\]{}]""", plain):
        return override
    return f"{key}=" + ",".join(f'"{v}"' if re.search("[=~]", v) else v for v in value.split(","))


def to_overrides(
    words: Sequence[object], options: Mapping[str, Any], *, swept: bool = False
) -> list[str]:
    """Return words and keywords as overrides; ``ValueError`` if a word is not text."""
    wrong = [word for word in words if not isinstance(word, str)]
    if wrong:
        rule = "give text, such as 'loss=mse', or keywords, such as seed=5"
        raise ValueError(f"{wrong[0]!r} is a {type(wrong[0]).__name__}; {rule}")
    for key in options:
        # The nearest key of a configuration would mislead: for "progres" it is "force".
        if meant := difflib.get_close_matches(key, _KEYWORDS, n=1, cutoff=0.8):
            raise ValueError(f"unknown keyword {key!r} (did you mean {meant[0]!r}?)")
    return [*(quoted(str(word)) for word in words), *to_words(options, swept=swept)]


def to_words(options: Mapping[str, Any], *, swept: bool = False) -> list[str]:
    """Return keywords, nested or dotted, as overrides; with ``swept``, lists become sweeps.

    >>> to_words({"loss": "mse", "optimizer": {"lr": 0.1}, "force": True, "init_from": None})
    ['loss=mse', 'optimizer.lr=0.1', 'force=true', 'init_from=null']
    >>> to_words({"name": "a b", "data": {"image_shape": [1, 8, 8]}})
    ['name="a b"', 'data.image_shape=[1,8,8]']
    >>> to_words({"seed": range(3), "model.hidden": [[64], [64, 64]]}, swept=True)
    ['seed=0,1,2', 'model.hidden=[64],[64,64]']
    """
    words = []
    for key, given in options.items():
        value = plain(given)
        if isinstance(value, Mapping) and value:
            below = {f"{key}.{name}": item for name, item in value.items()}
            words += to_words(below, swept=swept)
        elif swept and _is_list(value):
            values = [_text(item, key) for item in value]
            if not values:
                raise ValueError(f"{key}=[]: give at least one value to sweep over")
            words.append(f"{key}={','.join(values)}")
        else:
            words.append(f"{key}={_text(value, key)}")
    return words


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | Mapping)


def _text(value: Any, key: str) -> str:
    """Return a value in Hydra's override grammar."""
    value = plain(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str):
        is_word = re.fullmatch(r"[A-Za-z_/][\w./-]*", value)
        if is_word and value.lower() not in ("null", "true", "false", "nan", "inf"):
            return value
        escaped = re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + (m[2] and '\\"'), value)
        return f'"{escaped}"'
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_text(item, key)}" for name, item in value.items()) + "}"
    if _is_list(value):
        return "[" + ",".join(_text(item, key) for item in value) + "]"
    rule = "give names, numbers, lists and dictionaries as in a configuration"
    custom = "for custom objects, use losslab.training.fit"
    is_class = isinstance(value, type)
    kind = f"the class {value.__name__}" if is_class else f"a {type(value).__name__}"
    raise ValueError(f"{key} is {kind}; {rule}; {custom}")


def syntax_advice(text: str, parser: OverridesParser) -> str:
    """Return advice on an override that Hydra cannot parse: quotes, if they would help."""
    key, _, value = text.partition("=")
    if not value or re.search(r"""^[\[{,]|["'\\]|,$""", value):
        return "write key=value"
    in_quotes = f'{key}="{value}"'
    try:
        parser.parse_override(in_quotes)
    except HydraException:
        return "write key=value"
    return f"quote its value: {shlex.quote(in_quotes)}"


def _chosen(override: Override) -> list[str]:
    """Return the choices in an override: one, or those of a sweep or a list."""
    if override.is_sweep_override():
        return [str(value) for value in override.sweep_string_iterator()]
    value = override.value()
    if isinstance(value, list):  # several choices at once, as diagnostics=[a,b]
        return [str(part) for part in value]
    return [override.get_value_element_as_str()]


def command_for(overrides: Sequence[str], *, flags: Sequence[str] = ()) -> str:
    """Return the command that reproduces a run, without options of launchers and sweepers."""
    kept = [text for text in overrides if not re.match(r"[+~]*(hydra|launcher|sweeper)[./=]", text)]
    return shlex.join(["losslab", "train", *flags, *kept])
