import gc
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from losslab import cli
from running import Commands, Result

# What tests start need not compile torch's sources anew: 7 of the 10 s that training begins with.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


class DoctestsInAFolder:
    """Examples in docstrings train, and what they write goes into a folder of their own."""

    @pytest.fixture(autouse=True)
    def _folder(self, request, tmp_path_factory, monkeypatch):
        if isinstance(request.node, pytest.DoctestItem):
            monkeypatch.chdir(tmp_path_factory.mktemp("doctest"))
            monkeypatch.setattr(sys, "path", list(sys.path))


def pytest_configure(config: pytest.Config) -> None:
    # Not only for the folder of this file.
    config.pluginmanager.register(DoctestsInAFolder())
    if config.getoption("numprocesses"):
        return  # it only hands the tests out to workers, which wait for it
    import torch

    torch.set_num_threads(1)
    # What importing torch left need not be looked through when Hydra's copies fill a generation.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data cache of the whole session, so that mnist5k is parsed once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def losslab(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Commands]:
    """The real command line, in this process, in an empty working folder."""
    import torch
    from hydra.core.global_hydra import GlobalHydra

    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LOSSLAB_CACHE", str(cache))
    monkeypatch.setenv("LOSSLAB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setenv("LOSSLAB_CODE", "")  # --config-dir adds to it
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*arguments: str) -> Result:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["losslab", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not GlobalHydra.instance().is_initialized()
        return Result(int(ended.value.code or 0), *capsys.readouterr())

    handlers, level = list(logging.root.handlers), logging.root.level
    yield Commands(folder, call, tmp_path_factory.getbasetemp() / "finished")
    # Hydra's flags that only tell something set up logging to the stream that pytest closes.
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    torch.use_deterministic_algorithms(False)
    # Another test may have a module of the same name.
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
