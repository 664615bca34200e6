"""Limits on configuration files, which may come from untrusted sources."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yaml import YAMLError

from losslab.files import LARGEST_YAML, check_yaml, read_bytes

_MOST_REFERENCES = 12


def check_file(path: Path) -> None:
    """Reject a choice that is not a regular file or would exhaust memory."""
    try:
        check_yaml(read_bytes(path, most=LARGEST_YAML), references=True)
    except YAMLError:
        pass  # Hydra reports it if the file is chosen
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be a choice: {error}") from None


def check_references(values: Mapping[str, Any]) -> None:
    """Reject deeply nested references, whose expansion grows exponentially."""
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
        found = f"the configuration has {count} references ${{...}} to what has references itself"
        raise ValueError(f"{found}; give at most {_MOST_REFERENCES}")
