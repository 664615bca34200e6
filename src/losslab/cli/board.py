"""TensorBoard on the runs."""

import os
import socket
from pathlib import Path

from losslab.files import allow_open_files
from losslab.text import say

_FILES_BESIDE = 256  # what TensorBoard itself and its readers have open


def start_board(folder: Path, port: int) -> int:
    """Start TensorBoard on a folder of runs; return its exit code."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give one with runs, e.g. outputs")
    _check_port(port)
    _allow_files(folder)
    from tensorboard import default, program

    board = program.TensorBoard(plugins=default.get_plugins())
    # It has no authentication, so it listens on this machine only. Files that grow are
    # read again, so that unfinished runs update live.
    board.configure(
        [
            *("tensorboard", "--logdir", str(folder), "--host", "127.0.0.1"),
            *("--port", str(port), "--reload_interval", "5", "--reload_multifile", "true"),
            # Of each image it would keep ten; a long run has more.
            *("--samples_per_plugin", "images=100", "--window_title", "losslab"),
        ]
    )
    return int(board.main())


def _allow_files(folder: Path) -> None:
    """Raise the limit on open files for TensorBoard, which opens all event files at once."""
    files = [Path(above, name) for above, _, names in os.walk(folder)
             for name in names if "tfevents" in name]  # fmt: skip
    for file in files:
        if not file.is_file():
            raise ValueError(
                f"{file} is not a regular file, TensorBoard would wait for it; remove it"
            )
    wanted = len(files) + _FILES_BESIDE
    allowed = allow_open_files(wanted)
    if allowed < wanted:
        say(
            f"{len(files)} event files, of which this system lets TensorBoard open about "
            f"{max(allowed - _FILES_BESIDE, 0)}; raise the limit with `ulimit -Hn {wanted}` as an "
            "administrator, or give a folder with fewer runs"
        )


def _check_port(port: int) -> None:
    """Try the port first: TensorBoard would report a taken one in many lines."""
    if not 0 <= port < 2**16:
        raise ValueError(f"--port={port}; give a number from 0 to {2**16 - 1}")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", port))
        except OSError as error:
            raise ValueError(
                f"port {port} is unavailable ({error.strerror}); give another with --port"
            ) from error
