"""What a run is, in words, for TensorBoard's Text page."""

from losslab.files import read_json, read_text
from losslab.recording.run_directory import RunDirectory

_NOT_VERSIONS = ("command", "choices")


def about(directory: RunDirectory) -> dict[str, str]:
    """Return configuration, command, and versions with commit, as Markdown, of those written.

    Args:
        directory: With ``config.yaml`` and ``manifest.json``.
    """
    texts = {}
    if directory.config.exists():
        config = read_text(directory.config)
        texts["config"] = f"```yaml\n{config.rstrip()}\n```"
    if directory.manifest.exists():
        manifest = read_json(directory.manifest)
        texts["command"] = f"```sh\n{manifest['command']}\n```"
        rows = [f"| {key} | {value} |" for key, value in manifest.items()
                if key not in _NOT_VERSIONS]  # fmt: skip
        texts["versions"] = "\n".join(["| what | value |", "| :-- | :-- |", *rows])
    return texts
