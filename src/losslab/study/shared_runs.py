"""Share finished runs between studies: trained once, linked into each study's folder."""

import os
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from losslab.experiment.identity import IN_NAMES, is_stored_in, resolved
from losslab.experiment.target_allowlist import targets
from losslab.files import LOCK_FILE
from losslab.recording import FINISHED, PACKAGES, Run, make_room, run_folders, write_atomically

_NOT_CUSTOM = ("losslab.", "torch.")
_NOT_SHARED = ("config.yaml", "status.json", "checkpoint.pt", LOCK_FILE)  # files of each run
_CODE = ("commit", "dirty", "python", "platform", "cpu", *PACKAGES)


class SharedRuns:
    """The finished runs of an output folder, listed at the first request.

    A run with the same configuration and seed, trained by the same code on the same kind of
    machine, has the same numbers. Its files are hard-linked, or copied where links are impossible.
    Runs of uncommitted or custom code are not shared.
    """

    def __init__(self, output_dir: Path, code: dict[str, Any]) -> None:
        self._output_dir = output_dir
        self._code = {key: code.get(key) for key in _CODE}

    def take(self, run: Run) -> bool:
        """Complete a planned run with the files of an equal one; return whether there was one."""
        path = self.find(run)
        if path is None:
            return False
        status = Run.at(path).status
        assert status is not None
        make_room([run])
        with run.lock() as mine:
            if not mine or not run.pending:
                return False
            run.clear()
            for file in path.iterdir():
                if file.is_file() and file.name not in _NOT_SHARED:
                    _link(file, run.path / file.name)
            write_atomically(run.files.config, resolved(run.composed))
            run.finish(status)
        return True

    def find(self, run: Run) -> Path | None:
        """Return the directory of a finished run equal to a planned one, if any."""
        same_name = self._folders.get((run.digest[:IN_NAMES], f"seed={run.seed}"), ())
        others = [path for path in same_name if path != run.path]
        if not others or self._code["dirty"] or run.composed["force"]:
            return None
        values = OmegaConf.to_container(run.composed, resolve=True)
        if any(not path.startswith(_NOT_CUSTOM) for path, _ in targets(values, "")):
            return None
        for path in others:
            other = Run.at(path)
            status, provenance = other.status, other.manifest
            same_code = {key: provenance.get(key) for key in _CODE} == self._code
            usable = status in FINISHED and same_code and not other.altered
            if usable and is_stored_in(run, other.files.config):
                return path
        return None

    @cached_property
    def _folders(self) -> dict[tuple[str, str], list[Path]]:
        """The run directories by the hash of the configuration and ``seed=<n>``."""
        folders: dict[tuple[str, str], list[Path]] = {}
        for path in run_folders(self._output_dir):
            key = (path.parent.name.rpartition("-")[2], path.name)
            folders.setdefault(key, []).append(path)
        return folders


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # across file systems, or on one without links
        shutil.copy2(source, target)
