"""Where a run's numbers come from: versions, commit, machine, command."""

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("losslab", "torch", "torchvision", "numpy", "hydra-core", "omegaconf", "tensorboard")


def manifest(*, command: str, device: str, threads: int, choices: dict[str, str]) -> dict[str, Any]:
    """Return what is known when a run starts.

    Args:
        command: As typed.
        device: Where it computes.
        threads: CPU threads of the run.
        choices: Config group to the choice made, e.g. ``{"loss": "mse"}``.
    """
    return {
        "command": command,
        "choices": choices,
        **_commit(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cpu": _cpu(),
        "device": device,
        "threads": threads,
    }


@functools.cache
def _commit() -> dict[str, Any]:
    """Return the commit of the checkout that this package lies in; nothing for a wheel."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], check=True, capture_output=True, encoding="utf-8"
        ).stdout.strip()

    try:
        # A wheel in a virtual environment inside somebody's repository is not of that commit.
        git("ls-files", "--error-unmatch", __file__)
        # What a study writes into experiments/ while it runs does not change what it computes.
        changes = git("status", "--porcelain", "--", ":/src", ":/conf", ":/pyproject.toml")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changes)}
    except (OSError, subprocess.CalledProcessError):
        return {}


@functools.cache
def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
