"""Commands run by tests, and what their runs left behind, for comparisons to the bit."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from losslab.recording import read_records

# Small and quick: a linear model on blobs, 12 steps an epoch. Two epochs.
TINY = (
    "data=synthetic",
    "model=linear",
    "trainer.batch_size=32",
    "trainer.epochs=2",
    "trainer.device=cpu",
    "trainer.log_every=5",
    "launcher=serial",
)

GROUPS = ("loss", "model", "optimizer", "schedule", "diagnostics")
CHOICES = [
    f"{group}={path.stem}"
    for group in GROUPS
    for path in sorted((Path(__file__).parents[1] / "conf" / group).glob("*.yaml"))
]

# The path of training too, of few points.
LANDSCAPE = (
    *("diagnostics=[default,landscape]", "diagnostics.landscape.grid=3"),
    "diagnostics.landscape.intervals=4",
)


class Result(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Commands(NamedTuple):
    """The command line in this process, and the working folder that it writes to."""

    folder: Path
    call: Callable[..., Result]
    kept: Path  # what finished() left

    def train(self, *arguments: str) -> Result:
        """Run ``losslab train`` on the tiny configuration; it must succeed."""
        result = self.call("train", *TINY, *arguments)
        assert result.code == 0, result.err
        return result

    def finished(self, *arguments: str) -> Path:
        """Return the folder of a finished tiny run, which the session trains only once."""
        kept = self.kept / hashlib.sha256(repr(arguments).encode()).hexdigest()
        if kept.exists():
            shutil.copytree(kept, self.folder / "outputs")
        else:
            self.train(*arguments)
            shutil.copytree(self.folder / "outputs", kept)
        (run,) = self.runs()
        return run

    def sweep(self, *arguments: str) -> Result:
        """Run ``losslab train -m`` on the tiny configuration; it must succeed."""
        result = self.call("train", "-m", *TINY, *arguments)
        assert result.code == 0, result.err
        return result

    def runs(self, name: str = "runs") -> list[Path]:
        """Return the run directories, sorted."""
        return sorted((self.folder / "outputs" / name).glob("*/seed=*"))

    def run(self, *arguments: str) -> Path:
        """Train in an output folder with no other run, and return the run's folder."""
        number = len(list(self.folder.glob("outputs/alone*")))
        self.train(*arguments, f"name=alone{number}")
        (path,) = self.runs(f"alone{number}")
        return path


def results(run: Path) -> dict[str, bytes]:
    """Return the files that hold a run's results, byte by byte."""
    names = ("model.safetensors", "predictions.safetensors", "summary.json")
    return {name: (run / name).read_bytes() for name in names}


def records(run: Path, file: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """Return a file of records without what depends on the clock."""
    return [
        {key: value for key, value in record.items() if not key.startswith(("wall_s", "time/"))}
        for record in read_records(run / file)
    ]


def read(path: Path) -> Any:
    """Return the content of a JSON file."""
    return json.loads(path.read_text())


def status(run: Path) -> str:
    """Return the status of a run."""
    return read(run / "status.json")["status"]
