"""How much a choice may hold, whose file may be somebody else's."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    NodeEvent,
    ScalarEvent,
    YAMLError,
)

from losslab.files import YAML_LOADER

_MOST_BYTES, _MOST_VALUES, _DEEPEST, _MOST_REFERENCES = 2**20, 10_000, 100, 12


def check_file(path: Path) -> None:
    """Refuse a choice that would fill the memory: what its references stand for counts each time.

    Raises:
        ValueError: It is not a regular file, or has too much in it.
    """
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path} is not a choice; give a file of at most {_MOST_BYTES} bytes")
    try:
        _check_content(path)
    except YAMLError as error:  # Hydra says what is wrong if the file is chosen
        if "nesting depth" in str(error):  # libyaml's own limit, before an event says so
            raise ValueError(_too_much(path)) from None


def _check_content(path: Path) -> None:
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    with path.open("rb") as file:
        for event in yaml.parse(file, Loader=YAML_LOADER):
            if isinstance(event, AliasEvent):
                # Of what is not complete, it would be without end.
                total += sizes.get(str(event.anchor), _MOST_VALUES)
            elif isinstance(event, NodeEvent):
                total += 1
            if isinstance(event, CollectionStartEvent):
                open_nodes.append((event.anchor, total))
            elif isinstance(event, CollectionEndEvent):
                anchor, before = open_nodes.pop()
                if anchor:
                    sizes[anchor] = total - before + 1
            elif isinstance(event, ScalarEvent) and event.anchor:
                sizes[event.anchor] = 1
            if total > _MOST_VALUES or len(open_nodes) > _DEEPEST:
                raise ValueError(_too_much(path))


def _too_much(path: Path) -> str:
    return (
        f"{path}: give at most {_MOST_VALUES} values, references counted as what they stand for, "
        f"and at most {_DEEPEST} levels"
    )


def check_references(values: Mapping[str, Any]) -> None:
    """Refuse references to references to references, which grow without end.

    Raises:
        ValueError: There are too many references to what has references itself.
    """
    texts: list[tuple[set[str], str]] = []

    def visit(node: Any, names: tuple[str, ...]) -> None:
        if isinstance(node, Mapping | list):
            for key, item in node.items() if isinstance(node, Mapping) else enumerate(node):
                visit(item, (*names, str(key)))
        elif isinstance(node, str) and "${" in node:
            texts.append((set(names), node))

    visit(values, ())
    with_references = set().union(*(names for names, _ in texts))
    count = 0
    for _, text in texts:
        for words in text.split("${")[1:]:
            until, closed, _ = words.partition("}")
            count += not closed or bool(with_references & set(re.findall(r"\w+", until)))
    if count > _MOST_REFERENCES:
        raise ValueError(
            f"the configuration has {count} references ${{...}} to what has references itself; "
            f"give at most {_MOST_REFERENCES}"
        )
