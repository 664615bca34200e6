"""A run: its identity, its directory, its state and its results."""

import errno
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, get_args

from losslab.files import (
    LOCK_FILE,
    as_path,
    checksum,
    first_altered,
    is_intact,
    lock,
    read_json,
    sealed,
    write_json,
)
from losslab.recording.placement import locate, place
from losslab.recording.results import (
    FINISHED,
    Arrays,
    Results,
    Status,
    read_predictions,
    read_results,
    read_scalars,
)
from losslab.text import nearest
from losslab.types import Scalars

if TYPE_CHECKING:
    import pandas as pd


_ORIGINAL = "put the original back, or train that run again with force=true"


class Files(NamedTuple):
    """The files of a run's directory."""

    config: Path = Path("config.yaml")  # the resolved configuration
    manifest: Path = Path("manifest.json")  # versions, commit, machine, command, start and end
    metrics: Path = Path("metrics.jsonl")
    curves: Path = Path("curves.jsonl")  # curves from diagnostics
    summary: Path = Path("summary.json")  # tag to final value
    model: Path = Path("model.safetensors")
    about_model: Path = Path("model.json")  # how to use the weights
    loss: Path = Path("loss.safetensors")  # the loss's own parameters and buffers, if any
    predictions: Path = Path("predictions.safetensors")  # logits and labels of val and test
    checkpoint: Path = Path("checkpoint.pt")  # only while the run is in progress
    log: Path = Path("log.txt")
    status: Path = Path("status.json")

    @property
    def results(self) -> tuple[Path, ...]:
        """The files whose checksums are stored when the run is finished."""
        return self[: self.index(self.checkpoint)]

    @property
    def needed(self) -> tuple[Path, ...]:
        """The files that a finished run must have; larger ones may be deleted."""
        return self.config, self.manifest, self.metrics, self.summary


@dataclass(frozen=True, kw_only=True, repr=False)
class Run:
    """One run, planned, in progress or ended, in ``outputs/<name>/<group>/seed=<n>/``.

    Runs in the same directory are equal. A planned run carries its configuration to other processes
    and machines, which need not compose it again.
    """

    root: Path  # the folder of all runs of that name
    group: str  # readable and unique name of the configuration without its seed
    seed: int
    # SHA-256 of everything that affects a result but the seed; 8 of its digits end the group
    digest: str = field(default="", compare=False)
    # Its configuration, unresolved, as other machines may have other paths.
    composed: Any = field(default=None, compare=False)
    choices: dict[str, str] = field(default_factory=dict, compare=False)  # config group to choice
    command: str = field(default="", compare=False)  # reproduces this run
    directory: Path | None = field(default=None, compare=False)  # if it was read from one

    @classmethod
    def at(cls, path: str | Path, *, group: str | None = None) -> Self:
        """Return the run in ``path``, ``.../<group>/seed=<n>``, which need not exist yet."""
        path = as_path(path)
        number = re.fullmatch("seed=([0-9]{1,19})", path.name)
        return cls(
            root=path.parents[1] if len(path.parents) > 1 else path.parent,
            group=path.parent.name if group is None else group,
            seed=int(number.group(1)) if number else -1,
            directory=path,
        )

    @classmethod
    def load(cls, path: str | Path, *, group: str | None = None) -> Self:
        """Return the run in ``path``, and read and check its files now."""
        run = cls.at(as_path(path).expanduser(), group=group)
        _ = run.results
        return run

    def __repr__(self) -> str:
        """Name, status, test accuracy and NLL."""
        metrics, tags = self.summary if self.finished else {}, ("test/accuracy", "test/nll")
        scores = [f"{tag} {metrics[tag]:.4f}" for tag in tags if tag in metrics]
        return f"<Run {self.name}: {', '.join([self.status or 'planned', *scores])}>"

    @property
    def name(self) -> str:
        """``<group>/seed=<n>``."""
        return f"{self.group}/{self.directory.name if self.directory else f'seed={self.seed}'}"

    @property
    def loss(self) -> str:
        """The config name of its loss, the first word of its group."""
        return self.group.rsplit("/", 1)[-1].split("-")[0]

    @property
    def path(self) -> Path:
        """Its directory, ``<root>/<group>/seed=<n>``, or deeper where there are thousands."""
        return self.directory or locate(locate(self.root, self.group), f"seed={self.seed}")

    @property
    def files(self) -> Files:
        """The files in its directory, whether they exist or not."""
        return Files(*map(self.path.joinpath, Files()))

    @property
    def status(self) -> Status | None:
        """The last status written, ``None`` if there is none or it cannot be read.

        Once :attr:`results` are loaded it is theirs, to be consistent with their numbers.
        """
        if "results" in vars(self):
            return self.results.status
        return _known(self._read_status().get("status"))

    @property
    def reason(self) -> str:
        """Why it failed or is damaged, in one line; otherwise empty."""
        if "results" in vars(self):
            return self.results.reason
        return str(self._read_status().get("error") or "")

    @property
    def finished(self) -> bool:
        """Whether it is done or diverged, which is a result."""
        return self.status in FINISHED

    @property
    def pending(self) -> bool:
        """Whether a planned run has to be trained: it is not finished, or ``force=true``."""
        return bool(self.composed["force"]) or not self.finished

    @property
    def ends_as(self) -> Status | None:
        """The status of a run that was killed in :meth:`finish` with complete results."""
        status = self._read_status()
        altered = first_altered(self.path, status.get("sha256"))
        return None if altered else _known(status.get("ends_as"))

    @property
    def altered(self) -> str | None:
        """The first result that was altered or lost since the run ended, ``None`` if none was."""
        before = self._read_status()
        name = first_altered(self.path, before.get("sha256"))
        if name is None and before.get("status") in FINISHED:
            name = next((path.name for path in self.files.needed if not path.exists()), None)
        # Another process may have started it again in the meantime.
        return name if self._read_status() == before else None

    @property
    def held(self) -> bool:
        """Whether a process holds the lock on the directory."""
        if not self.path.is_dir():
            return False
        with self.lock() as mine:
            return not mine

    def lock(self) -> AbstractContextManager[bool]:
        """Lock the directory; yields false, without waiting, if another process holds it."""
        path = self.path
        path.mkdir(parents=True, exist_ok=True)
        return lock(path)

    @cached_property
    def results(self) -> Results:
        """The content of its files, read and checked on first use."""
        return read_results(self.path)

    @property
    def config(self) -> Mapping[str, Any]:
        """Its resolved configuration."""
        return self.results.config

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Versions, commit, device, command."""
        return self.results.manifest

    @property
    def summary(self) -> Scalars:
        """Tag to final value; values that are not finite are absent."""
        return self.results.summary

    @property
    def evaluations(self) -> tuple[Scalars, ...]:
        """The records with validation metrics, in order."""
        return self.results.evaluations

    def curves(self, *tags: str) -> "pd.DataFrame":
        """Return the scalars recorded during training, see :func:`curves_table`."""
        return curves_table([self], *tags)

    def predictions(self, part: str = "test") -> Arrays:
        """Return final logits ``(N, K)`` float64 and labels ``(N,)`` of ``val`` or ``test``."""
        # From results, whose status implies that the files are intact.
        finished = self.results.status in FINISHED
        arrays = read_predictions(self.files.predictions, part) if finished else None
        if arrays is None:
            advice = "give a finished run, and val or test"
            raise ValueError(f"{self.path} has no predictions for {part!r}; {advice}")
        return arrays

    def class_names(self, classes: int) -> list[str]:
        """Return the names of its classes, or numbers if they are not stored."""
        try:
            return list(map(str, read_json(self.files.about_model)["class_names"]))
        except (ValueError, KeyError, TypeError):
            return list(map(str, range(classes)))

    def read(self, path: Path) -> bytes:
        """Return the content of a result file; ``ValueError`` if it or the status is altered."""
        self.check_status()
        content = path.read_bytes()
        checksums = self._read_status().get("sha256")
        expected = checksums.get(path.name) if isinstance(checksums, Mapping) else None
        if expected not in (None, hashlib.sha256(content).hexdigest()):
            raise ValueError(f"{path} was cut off or altered since its run ended; {_ORIGINAL}")
        return content

    def check_status(self) -> None:
        """Raise ``ValueError`` if the status, which has the checksums, is missing or altered."""
        status = _known(self._read_status().get("status"))
        if status is None and self.files.config.exists():  # without it, this is not a run
            what = f"{self.files.status} is missing or altered"
            raise ValueError(f"{what}, so the results cannot be verified; {_ORIGINAL}")

    def set_status(self, status: Status, *, error: str | None = None) -> None:
        """Write the status of a run that is not finished."""
        self._write_status({"status": status} | ({} if error is None else {"error": error}))

    def finish(self, status: Status) -> None:
        """Finish a run whose results are written: remove its checkpoint, write the status.

        If the process is killed here, a later one calls it again with :attr:`ends_as`.
        """
        files = self.files
        kept = {path.name: checksum(path) for path in files.results if path.is_file()}
        self._write_status({"status": "running", "ends_as": status, "sha256": kept})
        files.checkpoint.unlink(missing_ok=True)
        self._write_status({"status": status, "sha256": kept})

    def clear(self) -> None:
        """Remove the files of an earlier run, status first, so that it never looks finished."""
        self.files.status.unlink(missing_ok=True)
        for path in self.path.iterdir():
            if path.name != LOCK_FILE and (not path.is_dir() or path.is_symlink()):
                path.unlink()

    def tidy(self) -> None:
        """Remove partial files of a killed process, symbolic links and pipes."""
        for path in self.path.iterdir():
            if path.match(".*.tmp") or path.is_symlink() or not (path.is_file() or path.is_dir()):
                path.unlink()

    def _read_status(self) -> dict[str, Any]:
        try:
            status = read_json(self.files.status)
        except ValueError:
            return {}
        return status if is_intact(status) else {}

    def _write_status(self, value: dict[str, Any]) -> None:
        write_json(self.files.status, sealed(value))


def curves_table(runs: Iterable[Run], *tags: str) -> "pd.DataFrame":
    """Return the scalars that runs recorded during training, one row each.

    Args:
        runs: In progress or ended.
        *tags: Such as ``"val/accuracy"``; all if none is given.

    Returns:
        Columns ``name``, ``group``, ``loss``, ``seed``, ``step``, ``examples``, ``epoch``,
        ``wall_s``, ``tag`` and ``value``.

    Raises:
        ValueError: A tag is not text, or some run is done and none recorded the tag. Runs in
            progress and diverged ones may not have recorded it yet.
    """
    import pandas as pd  # takes half a second

    for tag in tags:
        if not isinstance(tag, str):
            example = "'val/accuracy', 'val/nll'"
            raise ValueError(f"{tag!r} is not a tag; give text, one argument each: {example}")
    runs, rows, recorded = list(runs), [], set[str]()
    for run in runs:
        for position, numbers in read_scalars(run.files.metrics):
            recorded |= numbers.keys()
            rows += [
                (run.name, run.group, run.loss, run.seed, *position.values(), tag, value)
                for tag, value in numbers.items()
                if not tags or tag in tags
            ]
    missing = [tag for tag in tags if tag not in recorded]
    if missing and any(run.status == "done" for run in runs):
        advice = "leave the tags out to see all that were recorded"
        raise ValueError(f"no run recorded {missing[0]!r}{nearest(missing[0], recorded)}; {advice}")
    columns = ["name", "group", "loss", "seed", "step", "examples", "epoch", "wall_s"]
    return pd.DataFrame(rows, columns=[*columns, "tag", "value"])


def make_room(runs: Iterable[Run]) -> None:
    """Create the parent folders of runs; ``ValueError`` if they are not writable."""
    seeds: dict[Path, dict[str, list[str]]] = {}
    for run in runs:
        seeds.setdefault(run.root, {}).setdefault(run.group, []).append(f"seed={run.seed}")
    folder = Path()
    try:
        for folder, groups in seeds.items():
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            place(folder, groups)
            for group, names in groups.items():
                place(locate(folder, group), names, only_spread=True)
    except OSError as error:
        why = f"cannot write into {folder} ({error.strerror})"
        raise ValueError(f"{why}; give another output_dir=...") from error


def _known(status: object) -> Status | None:
    return next((known for known in get_args(Status) if known == status != "damaged"), None)
