"""Carry out a run: check it, lock its directory, start or resume it, record how it ended."""

import errno
import logging
import os
import time
import traceback
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from omegaconf import DictConfig, OmegaConf

from losslab.data.cache import NotDownloadedError
from losslab.experiment.build import build, check_optimizer
from losslab.experiment.compose import default_choices
from losslab.experiment.dry_run import dry_run
from losslab.experiment.identity import is_of, is_stored_in, resolved, stored_configuration
from losslab.experiment.log_file import logging_on, logging_to, turn_of
from losslab.experiment.train import train
from losslab.files import allow_open_files, write_atomically, write_json
from losslab.recording import Run, Status, check_marks, make_room, manifest
from losslab.training import Loop, device_name, load_checkpoint, resolve_device, train_together
from losslab.workers import end_with_parent

logger = logging.getLogger("losslab")

IN_USE = "in use"
"""Returned by :func:`perform` for a run that another process holds."""

_FILES_OF_A_RUN = 16  # at most
# Errors of the disk, after which a run can be resumed.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE)


def prepare(
    run: Run, *, elsewhere: bool = False, built: dict[str, frozenset[str]] | None = None
) -> None:
    """Check a planned run as far as possible without training; write nothing.

    Args:
        run: The run.
        elsewhere: Whether it will run on a machine with other devices.
        built: The tags recorded by configurations checked so far, updated here, to save time in a
            sweep. A run that differs from an earlier one in the seed is not built again; one that
            differs in the optimizer's numbers only gets a check of the optimizer; one that differs
            in other floating-point numbers is built, without a second dry run.

    Raises:
        ValueError: What is wrong, what is allowed, and what to do.
    """
    config = run.composed
    if run.pending:
        built = {} if built is None else built
        if run.digest not in built:
            here = config.copy()
            if elsewhere:
                here.trainer.device = "cpu"
            kind, same_but_optimizer = _kind_of(config), _kind_of(config, of="optimizer")
            if same_but_optimizer in built:
                check_optimizer(here)
            else:
                try:
                    parts = build(here)
                    if kind not in built:
                        built[kind] = dry_run(parts)
                except NotDownloadedError:  # only within only_reading, which does not train
                    built[kind] = frozenset()
                built[same_but_optimizer] = built[kind]
            built[run.digest] = built[same_but_optimizer]
        if not config.force and run.ends_as is None:
            _load_checkpoint(run)
    _check_same_configuration(run)
    if not config.force and (altered := run.altered):
        what = f"{run.path / altered} is missing, cut off or altered since its run ended"
        advice = "put the original back, or add force=true to train this run again"
        raise ValueError(f"{what}; {advice}")


def unrecorded(
    tag: str, runs: Sequence[Run], built: Mapping[str, frozenset[str]]
) -> Collection[str] | None:
    """Return the tags that runs record if ``tag`` is not among them, else ``None``.

    ``built`` is that of :func:`prepare`, called for the pending runs among these. Until data are
    downloaded, tags are unknown, which also gives ``None``.
    """
    tags = set[str]().union(*built.values())
    for run in runs:
        if run.finished:  # other seeds may record more
            tags.update(run.summary, (f"why/{name}/" for name in run.composed.diagnostics))
    diagnostic = "/".join([*tag.split("/")[:2], ""])
    known = tag in tags or diagnostic in tags or frozenset() in built.values()
    return None if known else tags


def _kind_of(config: DictConfig, *, of: str | None = None) -> str:
    """Return a configuration as text, without its seed and floating-point numbers.

    With ``of``, only the numbers of that group are left out.
    """

    def blank(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: blank(value) for key, value in node.items()}
        return float if isinstance(node, float) else node

    plain: Any = OmegaConf.to_container(config, resolve=True)
    groups = {key: node for key, node in plain.items() if key in (*default_choices(), "init_from")}
    return repr({key: blank(v) if of in (None, key) else v for key, v in groups.items()})


def perform(runs: Sequence[Run], *, show: bool = False) -> list[str | None]:
    """Train planned runs together unless they are finished; resume those that were killed.

    Returns each run's status, or :data:`IN_USE`. Errors are not raised, so that one failure does
    not stop a sweep; status and log have them.
    """
    end_with_parent()
    if len(runs) > 1:
        allow_open_files(_FILES_OF_A_RUN * len(runs))
    attempts = [_attempt(run, show=show) for run in runs]
    ends: dict[int, str | None] = {}

    def advance(index: int, error: BaseException | None = None) -> Loop | None:
        attempt = attempts[index]
        try:
            with turn_of(runs[index].files.log):
                return next(attempt) if error is None else attempt.throw(error)
        except StopIteration as end:
            ends[index] = end.value
        except Exception:
            ends[index] = runs[index].status
        return None

    try:
        with logging_on():
            indices = range(len(runs))
            loops = {index: loop for index in indices if (loop := advance(index)) is not None}
            error: BaseException | None = None
            try:
                train_together(list(loops.values()))
            except BaseException as failure:
                error = failure
            for index, loop in loops.items():
                advance(index, error or loop.error)
    finally:
        for attempt in attempts:
            attempt.close()
    return [ends[index] for index in range(len(runs))]


def _attempt(run: Run, *, show: bool) -> Generator[Loop, None, str]:
    """Carry out a run, except for training the loop that it yields; return its status."""
    if not run.pending and (status := run.status):
        return status
    _check_same_configuration(run)
    make_room([run])
    with run.lock() as mine:
        if not mine:
            return IN_USE
        try:
            status, state = run.status, None
            run.tidy()
            if status is not None and not run.pending:
                return status  # another process finished it in the meantime
            if status == "running" and not run.composed.force:
                if (end := run.ends_as) is not None:
                    run.finish(end)
                    return end
                state = _load_checkpoint(run)
            if state is None:
                run.clear()
            run.set_status("running")
            with logging_to(run.files.log):
                return (yield from _train(run, state=state, show=show))
        except OSError as error:
            if error.errno in _DISK_ERRORS:
                reason = f"{os.strerror(error.errno)}: make room, and the same command resumes"
                with suppress(OSError):
                    run.set_status("running", error=reason)
            raise


def _train(run: Run, *, state: dict[str, Any] | None, show: bool) -> Generator[Loop, None, Status]:
    config, files = run.composed, run.files
    began = time.perf_counter()
    try:
        record = manifest(
            command=run.command,
            device=device_name(resolve_device(config.trainer.device)),
            threads=config.trainer.threads,
            choices=run.choices,
        )
        record["start"] = datetime.now(UTC).isoformat()
        if state is not None:
            record["resumed_at_step"] = state["step"]
            logger.info("resuming at step %d", state["step"])
        write_atomically(files.config, text := resolved(config))
        write_json(files.manifest, record)
        logger.info("%s, seed %d", run.group, run.seed)
        if config.init_from is not None and not is_of(run, stored_configuration(text)):
            raise ValueError("the weights of init_from have changed since the command began")
        parts = build(config)
        for line in parts.dataset.describe():
            logger.info("data: %s", line)
        diverged = yield from train(run, parts, state=state, show=show)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            logger.error("stopped: %s", error)
            raise  # the status stays ``running``, so that it can be resumed
        logger.error("failed\n%s", traceback.format_exc())
        run.set_status("failed", error=f"{type(error).__name__}: {error}")
        raise
    write_json(files.manifest, record | {"end": datetime.now(UTC).isoformat()})
    status: Status = "diverged" if diverged else "done"
    logger.info("%s after %.1f s", status, time.perf_counter() - began)
    run.finish(status)
    return status


def _load_checkpoint(run: Run) -> dict[str, Any] | None:
    """Return a run's checkpoint, if any; ``ValueError`` if it or its records are damaged."""
    checkpoint = run.files.checkpoint
    try:
        state = load_checkpoint(checkpoint)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        check_marks(run, state.get("records"))
    except ValueError as error:
        if not checkpoint.exists():
            return None  # another process finished the run in the meantime
        advice = f"delete {checkpoint.name} to train this run from its start"
        raise ValueError(
            f"{run.path}: {error}, so its checkpoint cannot be used; {advice}"
        ) from error
    return state


def _check_same_configuration(run: Run) -> None:
    try:
        same = is_stored_in(run, run.files.config)
    except (FileNotFoundError, NotADirectoryError):
        return
    if not same:
        advice = "move that folder away or choose another name=..."
        raise ValueError(
            f"{run.path} holds a different configuration (config.yaml differs); {advice}"
        )
