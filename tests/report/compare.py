"""Compare two ``results.json``, key by key: `python tests/report/compare.py OLD NEW`.

Run on whole studies before and after a change that must not move a number.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TEXTS = ("rule", "source", "command")
"""Keys whose texts may be reworded."""


def changes(old: Any, new: Any, *, at: str = "", rel: float = 1e-5) -> Iterator[str]:
    """Yield what is gone or different; keys that are new are no change."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key, value in old.items():
            if key not in new:
                yield f"{at}/{key}: gone (was {value!r})"
            elif key not in TEXTS:
                yield from changes(value, new[key], at=f"{at}/{key}", rel=rel)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{at}: {len(old)} entries became {len(new)}"
        for index, pair in enumerate(zip(old, new, strict=False)):
            name = pair[0].get("id", index) if isinstance(pair[0], Mapping) else index
            yield from changes(*pair, at=f"{at}/{name}", rel=rel)
    elif isinstance(old, float) and isinstance(new, float | int):
        # Six digits are stored; a last one may round the other way.
        if abs(old - new) > rel * max(abs(old), abs(new)):
            yield f"{at}: {old!r} became {new!r}"
    elif old != new:
        yield f"{at}: {old!r} became {new!r}"


if __name__ == "__main__":
    found = list(changes(*(json.loads(Path(path).read_text("utf-8")) for path in sys.argv[1:])))
    print("\n".join(found) or "no change")
    sys.exit(bool(found))
