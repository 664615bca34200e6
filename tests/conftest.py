import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from losslab import cli

torch.set_num_threads(1)

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


class Result(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Commands(NamedTuple):
    """The command line in this process, and the working folder that it writes to."""

    folder: Path
    call: Callable[..., Result]

    def train(self, *arguments: str) -> Result:
        """Run ``losslab train`` on the tiny configuration; it must succeed."""
        result = self.call("train", *TINY, *arguments)
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


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data cache of the whole session, so that mnist5k is parsed once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def losslab(
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Commands]:
    """The real command line, in this process, in an empty working folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LOSSLAB_CACHE", str(cache))
    monkeypatch.setenv("LOSSLAB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*arguments: str) -> Result:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["losslab", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not GlobalHydra.instance().is_initialized()
        return Result(int(ended.value.code or 0), *capsys.readouterr())

    yield Commands(folder, call)
    torch.use_deterministic_algorithms(False)
