"""The provenance of a run: versions, commit, machine, command."""

import functools
import os
import platform
import re
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("losslab", "torch", "torchvision", "numpy", "hydra-core", "omegaconf", "tensorboard")


def manifest(*, command: str, device: str, threads: int, choices: dict[str, str]) -> dict[str, Any]:
    """Return the manifest of a run at its start; ``choices`` maps config group to choice."""
    return {
        "command": command,
        "choices": choices,
        **_commit(),
        "python": platform.python_version(),
        **_versions(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "device": device,
        "threads": threads,
    }


@functools.cache
def _versions() -> dict[str, str]:
    """Return the version of each package; losslab has none if it is not installed."""
    versions = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


@functools.cache
def _commit() -> dict[str, Any]:
    """Return the commit of the checkout that contains this package; nothing for a wheel."""
    here = Path(__file__).resolve()
    root = here.parents[3]
    # Settings such as core.fsmonitor make git run programs, so only those of the checkout, whose
    # code is trusted anyway, are used; a folder above it may belong to someone else.
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(root.parent),
        "GIT_OPTIONAL_LOCKS": "0",
    }
    settings = ("core.fsmonitor=false", f"core.hooksPath={os.devnull}", f"safe.directory={root}")

    def git(*arguments: str) -> str:
        options = [word for setting in settings for word in ("-c", setting)]
        return subprocess.run(
            ["git", "-C", str(root), *options, *arguments],
            check=True,
            capture_output=True,
            encoding="utf-8",
            env=environment,
        ).stdout.strip()

    try:
        # Fails for a wheel in a virtual environment inside some other repository.
        git("ls-files", "--error-unmatch", str(here))
        # Results of studies in experiments/ do not change what is computed.
        changes = git("status", "--porcelain", "--", ":/src", ":/conf", ":/pyproject.toml")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changes)}
    except (OSError, subprocess.CalledProcessError):
        return {}


@functools.cache
def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    model = re.search("^model name.*?:(.*)", text, re.MULTILINE)
    return model[1].strip() if model else platform.processor() or platform.machine()
