"""Make untrusted text, such as names, labels and errors, safe to show."""

import difflib
import re
import sys
import unicodedata
from collections.abc import Iterable
from typing import Any

import rich.console
from rich.text import Text

# Unicode categories: control, format (direction marks), surrogates, line and paragraph separators.
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_KEPT = "\n\t\u200c\u200d"  # Persian and emoji need the zero-width joiners
# Starts of HTML, links, link definitions and table cells.
_MARKUP = re.compile(r"<(?=[A-Za-z/!?])|(?<=\])[(\[:]|\|")


def printable(text: str) -> str:
    r"""Return text with the characters that control a terminal escaped.

    >>> print(printable("red \x1b[31m and \u202e back"))
    red \x1b[31m and \u202e back
    """
    if text.isprintable():
        return text
    return "".join(
        ascii(c)[1:-1] if unicodedata.category(c) in _HIDDEN and c not in _KEPT else c for c in text
    )


def say(text: str) -> None:
    """Write text as one line to standard error, with very long words shortened."""
    line = re.sub(r"\S{300,}", lambda word: f"{word[0][:100]}...{word[0][-40:]}", text)
    sys.stderr.write(f"losslab: {printable(' '.join(line.split()))}\n")


def duration(seconds: float) -> str:
    """Return a duration in its two largest units.

    >>> duration(0.3), duration(75), duration(3 * 3600 + 1800), duration(200_000)
    ('1 s', '1 min 15 s', '3 h 30 min', '2 days 7 h')
    """
    minutes, s = divmod(max(round(seconds), 1), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "day" if days == 1 else "days"), (hours, "h"), (minutes, "min"), (s, "s")]
    largest = next(index for index, (number, _) in enumerate(parts) if number)
    return " ".join(f"{n} {unit}" for n, unit in parts[largest : largest + 2] if n)


def out_of_memory(error: BaseException) -> str:
    """Return one line that explains an out-of-memory error; empty for other errors.

    >>> out_of_memory(RuntimeError("can't allocate memory: tried to allocate 64000000000 bytes"))
    'memory ran out: 64 GB were requested; make the model or the data smaller, or free memory'
    """
    message = str(error)
    if not (isinstance(error, MemoryError) or _MEMORY.search(message)):
        return ""
    size = re.search(r"allocate (\d+) bytes", message)
    requested = f"{int(size[1]) / 1e9:,.3g} GB were requested; " if size else ""
    return f"memory ran out: {requested}make the model or the data smaller, or free memory"


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return `` (did you mean ...?)`` with the allowed word closest to ``word``, if any.

    >>> nearest("mes", ["mse", "brier"])
    " (did you mean 'mse'?)"
    >>> nearest("SGD", ["adam", "sgd"]), nearest("lr", ["loss", "optimizer.lr"])
    (" (did you mean 'sgd'?)", " (did you mean 'optimizer.lr'?)")
    """
    words = sorted(allowed)
    candidates = [name for name in words if name.lower() == word.lower()]
    # People often type only the last part of a dotted key.
    candidates += [name for name in words if "." not in word and name.endswith(f".{word}")]
    candidates += difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f" (did you mean {candidates[0]!r}?)" if candidates else ""


def printable_values(value: Any) -> Any:
    """Return nested dicts and lists with all their text made :func:`printable`."""
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
    r"""Return text as one line of Markdown, escaped so that it is shown literally.

    >>> print(markdown("a <b>x</b> | [here](http://x)\n# no heading, 1 < 2 [0.1, 0.2]"))
    a \<b>x\</b> \| [here]\(http://x) # no heading, 1 < 2 [0.1, 0.2]
    """
    if isinstance(text, Markdown):
        return text
    line = re.sub(r"\s*[\r\n]\s*", " ", text.strip())
    return Markdown(_MARKUP.sub(lambda match: f"\\{match[0]}", printable(line)))


class Console(rich.console.Console):
    """Rich's console, with every string made :func:`printable`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the text that is printed for a string."""
        return super().render_str(printable(text), **options)
