import functools
import gc
import threading
import warnings
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


class Served(NamedTuple):
    url: str
    folder: Path


@pytest.fixture(scope="session")
def mnist5k_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for mnist5k, so that the tests parse it once."""
    return tmp_path_factory.mktemp("mnist5k")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A web server on the loopback address, and the folder that it serves."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Served(f"http://127.0.0.1:{server.server_port}/", folder)
        server.shutdown()
        thread.join()
    # urllib leaves a refused connection to the garbage collector, which warns of it: here, not
    # in whatever test comes next.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
