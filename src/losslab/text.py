"""Foreign text, such as names, labels and errors, made safe to show."""

import difflib
import re
import sys
import unicodedata
from collections.abc import Iterable
from typing import Any

import rich.console
from rich.text import Text

# Control characters with escape codes, direction marks, halves of characters, line separators.
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_KEPT = "\n\t\u200c\u200d"  # Persian and emoji need the two that join
# What begins HTML, a link, a link's definition, code, or a table's next cell.
_MARKUP = re.compile(r"<(?=[A-Za-z/!?])|(?<=\])[(\[:]|\|")


def printable(text: str) -> str:
    r"""Return text with everything that controls a terminal spelled out.

    >>> print(printable("red \x1b[31m and \u202e back"))
    red \x1b[31m and \u202e back
    """
    if text.isprintable():
        return text
    return "".join(
        ascii(c)[1:-1] if unicodedata.category(c) in _HIDDEN and c not in _KEPT else c for c in text
    )


def say(text: str) -> None:
    """Write a text as one line on standard error, its longest words shortened."""
    line = re.sub(r"\S{300,}", lambda word: f"{word[0][:100]}...{word[0][-40:]}", text)
    sys.stderr.write(f"losslab: {printable(' '.join(line.split()))}\n")


def duration(seconds: float) -> str:
    """Return a time as people say it.

    >>> duration(0.3), duration(75), duration(3 * 3600 + 1800), duration(200_000)
    ('1 s', '1 min 15 s', '3 h 30 min', '2 days 7 h')
    """
    units = (("s", 60), ("min", 60), ("h", 24), ("days", 10**9))
    left, parts = max(round(seconds), 1), []
    for name, size in units:
        left, part = divmod(left, size)
        parts.append((part, "day" if (name, part) == ("days", 1) else name))
    first = max(place for place, (part, _) in enumerate(parts) if part)
    told = parts[max(first - 1, 0) : first + 1]
    return " ".join(f"{part} {name}" for part, name in reversed(told) if part)


def out_of_memory(error: BaseException) -> str:
    """Return one line about memory that an error is about; empty for other errors.

    >>> out_of_memory(RuntimeError("can't allocate memory: tried to allocate 64000000000 bytes"))
    'memory ran out: 64 GB were asked for; make the model or the data smaller, or free some'
    """
    message = str(error)
    if not (isinstance(error, MemoryError) or _MEMORY.search(message)):
        return ""
    asked = re.search(r"allocate (\d+) bytes", message)
    much = f"{int(asked[1]) / 1e9:,.3g} GB were asked for; " if asked else ""
    return f"memory ran out: {much}make the model or the data smaller, or free some"


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return `` (did you mean ...?)`` with the allowed word that is most like ``word``, if any.

    >>> nearest("mes", ["mse", "brier"])
    " (did you mean 'mse'?)"
    >>> nearest("SGD", ["adam", "sgd"]), nearest("lr", ["loss", "optimizer.lr"])
    (" (did you mean 'sgd'?)", " (did you mean 'optimizer.lr'?)")
    """
    # People often type only the end of a dotted key.
    words = sorted(allowed)
    found = [name for name in words if name.lower() == word.lower()]
    found += [name for name in words if "." not in word and name.endswith(f".{word}")]
    found += difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f" (did you mean {found[0]!r}?)" if found else ""


def printable_values(value: Any) -> Any:
    """Return data of keys, lists and values with all its text :func:`printable`."""
    if isinstance(value, dict):
        return {printable_values(key): printable_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [printable_values(item) for item in value]
    return printable(value) if isinstance(value, str) else value


_MEMORY = re.compile(
    "allocate memory|out of memory|memory ran out|bad_alloc|failed to map segment|start new thread"
)


class Markdown(str):
    """Text that is already Markdown."""


def markdown(text: str) -> Markdown:
    r"""Return one line of Markdown that shows text as it is, also in a table's cell.

    >>> print(markdown("a <b>x</b> | [here](http://x)\n# no heading, 1 < 2 [0.1, 0.2]"))
    a \<b>x\</b> \| [here]\(http://x) # no heading, 1 < 2 [0.1, 0.2]
    """
    if isinstance(text, Markdown):
        return text
    line = re.sub(r"\s*[\r\n]\s*", " ", text.strip())
    return Markdown(_MARKUP.sub(lambda found: f"\\{found[0]}", printable(line)))


class Console(rich.console.Console):
    """Rich's console, for text that may hold names and errors from others."""

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return what is printed for a string."""
        return super().render_str(printable(text), **options)
