"""Start TensorBoard on a folder of runs."""

import os
import socket
import sys
import threading
import webbrowser
from pathlib import Path
from typing import Any

from losslab.files import allow_open_files
from losslab.text import Console, printable, say

_FILES_BESIDE = 256  # files that TensorBoard opens besides event files


def start_board(folder: Path, port: int, *, browse: bool) -> int:
    """Start TensorBoard on a folder of runs; return its exit code."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give one with runs, e.g. outputs")
    _check_port(port)
    runs = _allow_files(folder)
    with Console(stderr=True).status("averaging each loss's runs"):
        from losslab import report

        best = report.prepare_board(folder)
    from tensorboard import program

    class Server(program.WerkzeugServer):  # type: ignore[misc]
        def print_serving_message(self) -> None:
            super().print_serving_message()
            _show_links(self.get_url(), folder, best, runs=runs, browse=browse)

    board = program.TensorBoard(plugins=_plugins(), server_class=Server)
    # Without authentication, it must listen on this machine only. It reloads growing files, so that
    # unfinished runs update live.
    board.configure(
        [
            *("tensorboard", "--logdir", str(folder), "--host", "127.0.0.1"),
            *("--port", str(port), "--reload_interval", "5", "--reload_multifile", "true"),
            # By default it keeps ten images of a tag.
            *("--samples_per_plugin", "images=100", "--window_title", "losslab"),
        ]
    )
    return int(board.main())


def _plugins() -> list[Any]:
    """Return TensorBoard's plugins, two of them adapted to show the available runs."""
    from tensorboard.plugins.custom_scalar import custom_scalars_plugin
    from tensorboard.plugins.hparams import backend_context, hparams_plugin

    from losslab.tensorboard import with_data
    from losslab.tensorboard.hparams import Contents, with_table
    from tensorboard import default

    class Charts(custom_scalars_plugin.CustomScalarsPlugin):  # type: ignore[misc]
        def layout_impl(self, ctx: Any, experiment: str) -> Any:
            scalars = self._data_provider.list_scalars(
                ctx, experiment_id=experiment, plugin_name="scalars"
            )
            best = [tags for run, tags in scalars.items() if "best" in run.split("/")[:-1]]
            layout = super().layout_impl(ctx, experiment)
            return with_data(layout, set().union(*best)) if best and layout else layout

    class Context(backend_context.Context):  # type: ignore[misc]
        def hparams_metadata(self, *arguments: Any, **options: Any) -> Contents:
            return with_table(super().hparams_metadata(*arguments, **options))

    class Table(hparams_plugin.HParamsPlugin):  # type: ignore[misc]
        def __init__(self, context: Any) -> None:
            super().__init__(context)
            self._context = Context(context)

    replaced = {
        hparams_plugin.HParamsPlugin: Table,
        custom_scalars_plugin.CustomScalarsPlugin: Charts,
    }
    return [replaced.get(plugin, plugin) for plugin in default.get_plugins()]


def _show_links(address: str, folder: Path, best: list[Path], *, runs: int, browse: bool) -> None:
    """Print the links of the latest study or sweep, and open the first if asked."""
    from losslab.tensorboard import links, read_events

    if not best:
        page = address
        say("no links yet: no run of a study or sweep is finished")
    else:
        latest, files = best[0], list(best[0].glob("*/*tfevents*"))
        events = (event for file in files for event in read_events(file))
        tags = {value.tag for event in events for value in event.summary.value}
        urls = links(
            address,
            folder=latest.relative_to(folder).as_posix(),
            recorded=tags,
            several=len(files) > 1,
            runs=runs + len(files),
        )
        page = urls["answer"]
        lines = [f"{name:11} {url}" for name, url in urls.items()]
        if len(best) > 1:
            lines.insert(0, f"Links for {latest.parent}; for another: losslab board FOLDER")
        sys.stdout.write("\n".join([*map(printable, lines), ""]))
        sys.stdout.flush()
    if browse:
        # A text browser would block the server.
        threading.Thread(target=_open, args=(page,), daemon=True).start()


def _open(url: str) -> None:
    if not webbrowser.open(url):
        say("no browser was found; open the link yourself")


def _allow_files(folder: Path) -> int:
    """Return the number of event files, after raising the limit on open files for them."""
    names = [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]
    files = [path for path in names if "tfevents" in path.name]
    for file in files:
        if not file.is_file():
            why = "is not a regular file, and TensorBoard would wait for it"
            raise ValueError(f"{file} {why}; remove it")
    needed = len(files) + _FILES_BESIDE
    allowed = allow_open_files(needed)
    if allowed < needed:
        number = max(allowed - _FILES_BESIDE, 0)
        say(
            f"{len(files)} event files, but this system lets TensorBoard open only about {number}; "
            f"raise the limit with `ulimit -Hn {needed}` as an administrator, or give a folder "
            "with fewer runs"
        )
    return len(files)


def _check_port(port: int) -> None:
    """Raise ``ValueError`` for a port in use, which TensorBoard reports on many lines."""
    if not 0 <= port < 2**16:
        raise ValueError(f"--port={port}; give a number from 0 to {2**16 - 1}")
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError as error:
            why = f"port {port} is unavailable ({error.strerror})"
            raise ValueError(f"{why}; give another with --port") from error
