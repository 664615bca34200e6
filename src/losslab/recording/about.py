"""What a run is, in words, for TensorBoard's Text page."""

import json
import re

from losslab.recording.run_directory import RunDirectory
from losslab.text import markdown, printable

_NOT_VERSIONS = ("command", "choices")


def about(directory: RunDirectory) -> dict[str, str]:
    """Return configuration, command, and versions with commit, as Markdown, of those written.

    Args:
        directory: With ``config.yaml`` and ``manifest.json``.
    """
    texts = {}
    if directory.config.exists():
        config = directory.config.read_text(encoding="utf-8")
        texts["config"] = _code("yaml", config)
    if directory.manifest.exists():
        manifest = json.loads(directory.manifest.read_text(encoding="utf-8"))
        texts["command"] = _code("sh", manifest["command"])
        rows = [f"| {markdown(key)} | {markdown(str(value))} |" for key, value in manifest.items()
                if key not in _NOT_VERSIONS]  # fmt: skip
        texts["versions"] = "\n".join(["| what | value |", "| :-- | :-- |", *rows])
    return texts


def _code(language: str, text: str) -> str:
    # Longer than any fence in it, which would end it.
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}{language}\n{printable(text.rstrip())}\n{fence}"
